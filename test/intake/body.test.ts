import { expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { IntakeError } from "../../src/intake/intake-error.ts";
import { readBody } from "../../src/intake/read-body.ts";

const LIMIT = 100_000;
const signal = new AbortController().signal;

function read(bytes: Uint8Array, contentEncoding: string | null, limitBytes = LIMIT): Promise<Uint8Array> {
  return readBody(new Response(bytes).body, { contentEncoding, limitBytes, signal });
}

async function codeOf(reading: Promise<unknown>): Promise<string> {
  try {
    await reading;
    return "none";
  } catch (error) {
    if (!(error instanceof IntakeError)) throw error;
    return error.code;
  }
}

const text = new TextEncoder().encode('{"some":"body"}');
const random = crypto.getRandomValues(new Uint8Array(60_000));

test.each([[null], ["identity"], ["Identity"], [" IDENTITY "]])(
  "a body with Content-Encoding %p is what was sent",
  async (coding) => {
    expect(await read(text, coding)).toEqual(text);
  },
);

test.each([["gzip"], ["GZip"], [" gzip "]])("a body with Content-Encoding %p is unpacked", async (coding) => {
  expect(Buffer.from(await read(gzipSync(text), coding))).toEqual(Buffer.from(text));
  expect(Buffer.from(await read(gzipSync(random), coding))).toEqual(Buffer.from(random));
});

test.each([["br"], ["deflate"], ["x-gzip"], ["gzip, gzip"], ["identity, gzip"], ["gzip;q=1"], [""], ["*"]])(
  "Content-Encoding %j is not supported",
  async (coding) => {
    expect(await codeOf(read(text, coding))).toBe("UNSUPPORTED_MEDIA_TYPE");
  },
);

test("no body is an empty one", async () => {
  expect(await readBody(null, { contentEncoding: null, limitBytes: 1, signal })).toHaveLength(0);
  expect(await read(new Uint8Array(0), null)).toHaveLength(0);
  expect(await read(gzipSync(""), "gzip")).toHaveLength(0);
});

test("the limit applies to the decompressed bytes, exactly", async () => {
  const exact = new Uint8Array(LIMIT);
  const over = new Uint8Array(LIMIT + 1);
  expect(await read(exact, null)).toHaveLength(LIMIT);
  expect(await read(gzipSync(exact), "gzip")).toHaveLength(LIMIT);
  expect(await codeOf(read(over, null))).toBe("PAYLOAD_TOO_LARGE");
  expect(await codeOf(read(gzipSync(over), "gzip"))).toBe("PAYLOAD_TOO_LARGE");
  const incompressible = crypto.getRandomValues(new Uint8Array(60_000));
  expect(gzipSync(incompressible).length).toBeGreaterThan(incompressible.length);
  expect(await read(gzipSync(incompressible), "gzip", incompressible.length)).toHaveLength(incompressible.length);
});

const whole = gzipSync(text);
const changed = (at: number): Uint8Array => whole.map((byte, index) => (index === at ? byte ^ 1 : byte));
test.each<[string, Uint8Array]>([
  ["nothing", new Uint8Array(0)],
  ["plain text", text],
  ["a stream cut short", whole.subarray(0, -4)],
  ["a header alone", whole.subarray(0, 10)],
  ["a wrong checksum", changed(whole.length - 8)],
  ["a wrong length", changed(whole.length - 4)],
  ["garbage behind it", Buffer.concat([whole, text])],
  ["half a second member", Buffer.concat([whole, whole.subarray(0, 12)])],
])("gzip with %s is broken", async (_, bytes) => {
  expect(await codeOf(read(bytes, "gzip"))).toBe("INVALID_PAYLOAD");
});

test("two gzip members are one body (RFC 1952, 2.2)", async () => {
  expect(await read(Buffer.concat([whole, whole]), "gzip")).toHaveLength(2 * text.length);
});

test("the decompression of a gzip bomb ends at the limit", async () => {
  const bomb = gzipSync(new Uint8Array(512 * 1024 * 1024));
  Bun.gc(true);
  const before = process.memoryUsage.rss();
  expect(await codeOf(read(bomb, "gzip", 5 * 1024 * 1024))).toBe("PAYLOAD_TOO_LARGE");
  expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 1024 * 1024);
});

test("the reading of an endless body ends at the limit, and its source is cancelled", async () => {
  for (const coding of [null, "gzip"]) {
    let sent = 0;
    const { promise: cancelled, resolve } = Promise.withResolvers<void>();
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 10_000;
        controller.enqueue(new Uint8Array(10_000));
      },
      cancel: () => resolve(),
    });
    const reading = readBody(endless, { contentEncoding: coding, limitBytes: LIMIT, signal });
    expect(await codeOf(reading)).toBe("PAYLOAD_TOO_LARGE");
    await cancelled;
    expect(sent).toBeLessThan(2 * LIMIT);
  }
});

test("a body of single bytes is put together", async () => {
  const bytes = random.subarray(0, 3000);
  let at = 0;
  const drops = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at === bytes.length) controller.close();
      else controller.enqueue(bytes.slice(at, ++at));
    },
  });
  expect(await readBody(drops, { contentEncoding: null, limitBytes: LIMIT, signal })).toEqual(bytes);
});

test("a body that ends early is refused", async () => {
  const broken = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(text);
      controller.error(new Error("connection reset"));
    },
  });
  expect(await codeOf(readBody(broken, { contentEncoding: null, limitBytes: LIMIT, signal }))).toBe("INVALID_PAYLOAD");
});

test("waiting for a body ends with the signal, and its source is cancelled", async () => {
  const controller = new AbortController();
  const { promise: cancelled, resolve } = Promise.withResolvers<void>();
  const silent = new ReadableStream<Uint8Array>({ cancel: () => resolve() });
  const reading = readBody(silent, { contentEncoding: null, limitBytes: LIMIT, signal: controller.signal });
  controller.abort(new Error("shutting down"));
  expect(reading).rejects.toThrow("shutting down");
  await cancelled;
});

test("a request's body is read, and refused before it is all there", async () => {
  const codes: string[] = [];
  using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const contentEncoding = request.headers.get("content-encoding");
      codes.push(await codeOf(readBody(request.body, { contentEncoding, limitBytes: LIMIT, signal: request.signal })));
      return new Response();
    },
  });
  const post = (body: Uint8Array, headers: Record<string, string>) =>
    fetch(server.url, { method: "POST", body, headers });
  await post(text, {});
  await post(whole, { "Content-Encoding": "gzip" });
  await post(text, { "Content-Encoding": "gzip" });
  await post(new Uint8Array(LIMIT * 20), {});
  expect(codes).toEqual(["none", "none", "INVALID_PAYLOAD", "PAYLOAD_TOO_LARGE"]);
});
