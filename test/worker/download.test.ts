import { describe, expect, test } from "bun:test";
import type { FailureClass, FailureCode } from "../../src/jobs/failure.ts";
import type { Task } from "../../src/jobs/task.ts";
import { startRig } from "../support/download-rig.ts";
import { eventually } from "../support/eventually.ts";
import { BODY, largeBody } from "../support/misbehaviours.ts";
import { digest } from "../support/pattern.ts";

const MIB = 2 ** 20;
const SHA256 = Bun.CryptoHasher.hash("sha256", BODY, "hex");

interface Row {
  readonly path: string;
  readonly task?: Partial<Task>;
  readonly code: FailureCode;
  readonly failureClass: FailureClass;
  readonly status?: number;
  readonly bytes?: number;
  readonly message?: string;
}

/** Answers that end an attempt by themselves. Those that take time are in download-waits.test.ts. */
const FAULTS: readonly Row[] = [
  { path: "/endless-informational", code: "DOWNLOAD_PROTOCOL_ERROR", failureClass: "transient" },
  { path: "/close-at-once", code: "DOWNLOAD_RESET", failureClass: "transient" },
  { path: "/reset-at-once", code: "DOWNLOAD_RESET", failureClass: "transient" },
  { path: "/reset-in-headers", code: "DOWNLOAD_RESET", failureClass: "transient" },
  { path: "/short/18", code: "DOWNLOAD_TRUNCATED", failureClass: "transient", status: 200, bytes: 0 },
  {
    path: "/short/1",
    code: "DOWNLOAD_TRUNCATED",
    failureClass: "transient",
    status: 200,
  },
  {
    path: "/cut-large/3000000/2000000",
    code: "DOWNLOAD_TRUNCATED",
    failureClass: "transient",
    status: 200,
  },
  { path: "/cut-chunk", code: "DOWNLOAD_TRUNCATED", failureClass: "transient", status: 200 },
  { path: "/no-last-chunk", code: "DOWNLOAD_TRUNCATED", failureClass: "transient", status: 200 },
  { path: "/bad-chunk", code: "DOWNLOAD_PROTOCOL_ERROR", failureClass: "transient", status: 200 },
  { path: "/reset-undeclared/18", code: "DOWNLOAD_TRUNCATED", failureClass: "transient", status: 200 },
  { path: "/reset-undeclared/2000000", code: "DOWNLOAD_TRUNCATED", failureClass: "transient", status: 200 },
  { path: "/garbage", code: "DOWNLOAD_PROTOCOL_ERROR", failureClass: "transient" },
  { path: "/bad-length", code: "DOWNLOAD_PROTOCOL_ERROR", failureClass: "transient" },
  { path: "/two-lengths", code: "DOWNLOAD_PROTOCOL_ERROR", failureClass: "transient" },
  { path: "/switching-protocols", code: "DOWNLOAD_PROTOCOL_ERROR", failureClass: "transient" },
  {
    path: "/header-bytes/65000",
    code: "DOWNLOAD_SIZE_MISMATCH",
    failureClass: "mismatch",
    status: 200,
    task: { size: 1 },
  },
  { path: "/header-bytes/65600", code: "DOWNLOAD_HEADERS_TOO_LARGE", failureClass: "permanent" },
  { path: "/header-bytes/3000000", code: "DOWNLOAD_HEADERS_TOO_LARGE", failureClass: "permanent" },
  {
    path: "/ok",
    task: { checksum: `sha256:${"0".repeat(64)}` },
    code: "DOWNLOAD_CHECKSUM_MISMATCH",
    failureClass: "mismatch",
    status: 200,
    bytes: 18,
  },
  {
    path: "/large/3000000",
    task: { checksum: `md5:${"0".repeat(32)}` },
    code: "DOWNLOAD_CHECKSUM_MISMATCH",
    failureClass: "mismatch",
    status: 200,
    bytes: 3e6,
  },
  { path: "/ok", task: { size: 17 }, code: "DOWNLOAD_SIZE_MISMATCH", failureClass: "mismatch", status: 200, bytes: 18 },
  {
    path: "/chunked",
    task: { size: 19 },
    code: "DOWNLOAD_SIZE_MISMATCH",
    failureClass: "mismatch",
    status: 200,
    bytes: 18,
    message: "the body has 18 bytes, the manifest requires 19",
  },
  {
    path: "/undeclared/5000000",
    task: { size: 4e6 },
    code: "DOWNLOAD_SIZE_MISMATCH",
    failureClass: "mismatch",
    status: 200,
  },
  {
    path: "/typed/text%2Fhtml",
    task: { contentType: "image/*" },
    code: "DOWNLOAD_CONTENT_TYPE_MISMATCH",
    failureClass: "permanent",
    status: 200,
  },
  {
    path: "/untyped",
    task: { contentType: "image/*" },
    code: "DOWNLOAD_CONTENT_TYPE_MISMATCH",
    failureClass: "permanent",
    status: 200,
  },
  ...[
    "text%2Fhtml",
    "TEXT%2FHTML%3B%20charset%3Dx",
    "application%2Fxhtml%2Bxml",
    "",
    "nonsense",
    "application%2Foctet-stream",
    "image%2Fpng",
  ].map(
    (type): Row => ({
      path: `/page/${type}`,
      task: { rejectHtml: true },
      code: "DOWNLOAD_CONTENT_TYPE_MISMATCH",
      failureClass: "permanent",
      status: 200,
    }),
  ),
  { path: "/declared/1073741825", code: "DOWNLOAD_TOO_LARGE", failureClass: "permanent", status: 200, bytes: 0 },
  {
    path: "/declared/9007199254740991",
    code: "DOWNLOAD_TOO_LARGE",
    failureClass: "permanent",
    status: 200,
    bytes: 0,
  },
  ...[500, 502, 504, 599, 408].map(
    (status): Row => ({
      path: `/status/${status}`,
      code: `DOWNLOAD_HTTP_${status}`,
      failureClass: "transient",
      status,
    }),
  ),
  { path: "/status/503", code: "DOWNLOAD_HTTP_503", failureClass: "transient", status: 503 },
  { path: "/status/503/7", code: "DOWNLOAD_HTTP_503", failureClass: "throttled", status: 503 },
  { path: "/status/429", code: "DOWNLOAD_HTTP_429", failureClass: "throttled", status: 429 },
  ...[201, 202, 204, 205, 206, 300, 304, 305, 306, 400, 401, 403, 404, 407, 410, 416, 451].map(
    (status): Row => ({
      path: `/status/${status}`,
      code: `DOWNLOAD_HTTP_${status}`,
      failureClass: "permanent",
      status,
    }),
  ),
  { path: "/redirect/302", code: "DOWNLOAD_HTTP_302", failureClass: "permanent", status: 302 },
  { path: "/redirect/302/", code: "DOWNLOAD_HTTP_302", failureClass: "permanent", status: 302 },
  { path: "/redirect/302/http%3A%2F%2F%5B", code: "DOWNLOAD_HTTP_302", failureClass: "permanent", status: 302 },
  { path: "/loop", code: "DOWNLOAD_TOO_MANY_REDIRECTS", failureClass: "permanent", status: 302 },
];

const FAULTS_OF_HOSTS = ["a host", "a host with a kept connection"].flatMap((host) =>
  FAULTS.map((row) => [`${row.path} ${JSON.stringify(row.task ?? {})} of ${host} is ${row.code}`, host, row] as const),
);

describe("an answer that does not meet the manifest", () => {
  test.each(FAULTS_OF_HOSTS)("%s", async (_, host, { path, task, code, failureClass, status, bytes, message }) => {
    await using rig = await startRig();
    await rig.stored("/ok");
    if (host === "a host") rig.http.close();
    const before = await rig.files();
    const { failure, attempt } = await rig.failed(path, task);
    expect([failure.code, failure.class]).toEqual([code, failureClass]);
    if (message !== undefined) expect(failure.message).toBe(message);
    expect(attempt).toMatchObject({ code, message: failure.message, address: "127.0.0.1", durationMs: 0 });
    expect(attempt.startedAt).toBe(rig.clock.now());
    expect(attempt.httpStatus).toBe(status);
    if (bytes !== undefined) expect(attempt.bytes).toBe(bytes);
    // Only the start of an unwanted body is kept. A 204 and a 304 have none.
    const hasStart =
      code.endsWith("_MISMATCH") || (code.startsWith("DOWNLOAD_HTTP_") && status !== 204 && status !== 304);
    if (hasStart) expect(attempt.bodyStart).toMatch(/^(?:[0-9a-f]{2}){1,512}$/);
    else expect(attempt.bodyStart).toBeUndefined();
    expect(attempt.proxy).toBeUndefined();
    expect(await rig.files()).toEqual(before);
    expect(await rig.text()).toBe(BODY);
    expect(rig.clock.pending).toBe(0);
    expect(rig.active.list()).toEqual([]);
  });

  test.each([
    "/undeclared/99000000",
    "/zeros/99000000",
    "/declared/1073741825",
    "/endless-headers",
    "/unwanted/404/1",
    "/unwanted/302/1",
    "/unwanted/200/66000",
  ])("%s does not keep its connection, and is not read to its end", async (path) => {
    await using rig = await startRig({ maxBytes: 2 ** 21 });
    const outcome = await rig.run(path);
    expect(outcome.kind).toBe(path.startsWith("/unwanted/302") ? "stored" : "failed");
    await eventually("the connection is closed", () => rig.origin.requests[0]?.isClosed() || undefined);
    expect(rig.origin.sent.bytes).toBeLessThan(20 * MIB);
  });

  test("the failure of a body that ends too early has its size", async () => {
    await using rig = await startRig();
    const run = rig.failed("/stalled-body/1000");
    await rig.read(1000);
    rig.origin.requests[0]?.end();
    const { failure, attempt } = await run;
    expect(failure.message).toBe("the body ended after 1000 of 2000 bytes");
    expect(attempt.bytes).toBe(1000);
  });

  test("a reset after the headers may overtake them", async () => {
    await using rig = await startRig();
    const { failure } = await rig.failed("/reset-after-headers");
    expect(["DOWNLOAD_RESET", "DOWNLOAD_TRUNCATED"]).toContain(failure.code);
    expect(await rig.files()).toEqual([]);
  });

  test("a Retry-After goes with the failure, as seconds and as a date", async () => {
    await using rig = await startRig();
    expect((await rig.failed("/status/429/120")).failure.retryAfterMs).toBe(120_000);
    const date = encodeURIComponent(new Date(rig.clock.now() + 90_000).toUTCString());
    expect((await rig.failed(`/status/503/${date}`)).failure.retryAfterMs).toBe(90_000);
    expect((await rig.failed("/status/429/soon")).failure.retryAfterMs).toBeUndefined();
  });
});

describe("a body over the limit", () => {
  test.each([
    ["of a known length", "/large/3000000", 2_999_999],
    ["of no known length", "/undeclared/3000000", 2_999_999],
    ["that is small and of no known length", "/chunked", 17],
    ["that never ends", "/undeclared/9000000000", 5_000_000],
  ])("%s is refused", async (_, path, maxBytes) => {
    await using rig = await startRig({ maxBytes });
    const { failure } = await rig.failed(path);
    expect(failure.code).toBe("DOWNLOAD_TOO_LARGE");
    expect(await rig.files()).toEqual([]);
    if (path.startsWith("/undeclared")) await rig.origin.idle();
  });

  test.each([
    ["/large/3000000", 3_000_000],
    ["/undeclared/3000000", 3_000_000],
    ["/chunked", 18],
  ])("%s is not, when it has just as many", async (path, maxBytes) => {
    await using rig = await startRig({ maxBytes });
    expect((await rig.stored(path)).bytes).toBe(maxBytes);
  });

  test("of a declared size is not read further than that", async () => {
    await using rig = await startRig();
    await rig.failed("/undeclared/900000000", { size: 1_500_000 });
    await rig.origin.idle();
    expect(rig.origin.sent.bytes).toBeLessThan(20 * MIB);
  });
});

describe("an answer that meets the manifest", () => {
  test.each(["/ok", "/chunked", "/close-delimited", "/informational", "/length-and-chunks", "/status/203"])(
    "%s is stored",
    async (path) => {
      await using rig = await startRig();
      const result = await rig.stored(path);
      const body = path === "/status/203" ? "a message" : BODY;
      expect(await rig.text()).toBe(body);
      expect(result).toMatchObject({
        finalUrl: rig.url(path),
        httpStatus: path === "/status/203" ? 203 : 200,
        bytes: body.length,
        integrity: path === "/close-delimited" ? "unverified" : "verified",
        sha256: Bun.CryptoHasher.hash("sha256", body, "hex"),
        startedAt: rig.clock.now(),
      });
      expect(await rig.files()).toEqual([`${rig.storage.bucket}/r`]);
      expect(rig.clock.pending).toBe(0);
    },
  );

  test.each([1, MIB - 1, MIB, MIB + 1, 3 * MIB])("a body of %d bytes is stored as it is", async (bytes) => {
    await using rig = await startRig();
    const { sha256 } = await rig.stored(`/large/${bytes}`);
    expect(digest(await rig.storage.readBack("r"))).toBe(`${bytes} ${sha256}`);
    expect(digest(largeBody(bytes))).toBe(`${bytes} ${sha256}`);
  });

  test("a body that ends with the connection is verified by the size or the checksum in the manifest", async () => {
    await using rig = await startRig();
    expect(await rig.stored("/close-delimited", { size: BODY.length })).toMatchObject({ integrity: "verified" });
    expect(await rig.stored("/close-delimited", { checksum: `sha256:${SHA256}` })).toMatchObject({
      integrity: "verified",
    });
  });

  test("a host that ends bodies with the connection is asked once for each", async () => {
    await using rig = await startRig();
    for (let i = 0; i < 3; i++) await rig.stored("/close-delimited");
    expect(rig.origin.requests.length).toBe(3);
  });

  test.each(["999 Request denied", "600 x", "099 x", "101 Switching Protocols"])(
    "a status that is none (%s) fails the attempt, from a host that ended a body with its connection, too",
    async (status) => {
      await using rig = await startRig();
      const path = `/raw/${encodeURIComponent(`HTTP/1.1 ${status}\r\n\r\nno`)}`;
      for (const first of [false, true]) {
        if (first) await rig.stored("/close-delimited");
        const { failure } = await rig.failed(path);
        expect([first, failure.class]).toEqual([first, "transient"]);
        expect(["DOWNLOAD_PROTOCOL_ERROR", "DOWNLOAD_RESET"]).toContain(failure.code);
      }
      await rig.origin.idle();
    },
  );

  test("an empty body is an object of no bytes", async () => {
    await using rig = await startRig();
    expect((await rig.stored("/empty", { size: 0 })).bytes).toBe(0);
    expect(await rig.text()).toBe("");
  });

  test("a coded body is stored as it was served", async () => {
    await using rig = await startRig();
    const { bytes, contentEncoding } = await rig.stored("/gzip");
    expect(contentEncoding).toBe("gzip");
    const object = Buffer.from((await rig.storage.readBack("r")) ?? []);
    expect(object.byteLength).toBe(bytes);
    expect(new TextDecoder().decode(Bun.gunzipSync(object))).toBe(BODY);
  });

  test("the coding of a body that ends with the connection is kept, if it has one", async () => {
    await using rig = await startRig();
    const raw = (head: string) => `/raw/${encodeURIComponent(`HTTP/1.0 200 OK\r\n${head}\r\n${BODY}`)}`;
    const heads = ["Content-Encoding: GZIP\r\nContent-Encoding: br\r\n", "Content-Encoding: identity\r\n", ""];
    for (const [head, codings] of heads.map((head, i) => [head, i === 0 ? "gzip, br" : undefined] as const)) {
      expect((await rig.stored(raw(head))).contentEncoding).toBe(codings as string);
      expect(await rig.text()).toBe(BODY);
    }
  });

  test("an unrequested coding of the transfer is recorded as one of the body: its bytes are stored", async () => {
    await using rig = await startRig();
    const chunks = `${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`;
    for (const [codings, body] of [
      ["gzip", BODY],
      ["gzip, chunked", chunks],
    ] as const) {
      const head = `HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nTransfer-Encoding: ${codings}\r\n\r\n`;
      expect((await rig.stored(`/raw/${encodeURIComponent(head + body)}`)).contentEncoding).toBe("br, gzip");
      expect(await rig.text()).toBe(BODY);
    }
  });

  test.each([
    ["sha256", "/ok"],
    ["sha1", "/ok"],
    ["md5", "/ok"],
    ["sha256", "/chunked"],
    ["md5", "/close-delimited"],
  ] as const)("a right %s of %s is right in either letter case", async (algorithm, path) => {
    await using rig = await startRig();
    const hex = Bun.CryptoHasher.hash(algorithm, BODY, "hex");
    for (const written of [hex, hex.toUpperCase()]) {
      const result = await rig.stored(path, { checksum: `${algorithm}:${written}`, size: BODY.length });
      expect(result.sha256).toBe(SHA256);
    }
  });

  test.each([
    ["text%2Fplain", "text/*"],
    ["text%2Fplain%3B%20charset%3Dutf-8", "TEXT/PLAIN"],
    ["IMAGE%2FPNG", "image/*"],
    ["image%2Fpng", "*/*"],
  ])("%s is %s", async (type, contentType) => {
    await using rig = await startRig();
    const result = await rig.stored(`/typed/${type}`, { contentType });
    expect(result.contentType).toBe(decodeURIComponent(type));
  });

  test("a body without a type may have any type, and is stored as bytes", async () => {
    await using rig = await startRig();
    expect((await rig.stored("/untyped", { contentType: "*/*" })).contentType).toBe("application/octet-stream");
  });

  test.each([
    ["", "application/octet-stream"],
    ["x".repeat(255), "x".repeat(255)],
    ["x".repeat(256), "application/octet-stream"],
    ["text/pl\u00e4in", "application/octet-stream"],
    ["text/plain;   charset=x\t", "text/plain; charset=x"],
  ])("a type %s is kept as %s", async (type, kept) => {
    await using rig = await startRig();
    expect((await rig.stored(`/typed/${encodeURIComponent(type)}`)).contentType).toBe(kept);
  });

  test("a page is stored where the manifest allows it", async () => {
    await using rig = await startRig();
    expect((await rig.stored("/page/text%2Fhtml")).contentType).toBe("text/html");
    await rig.stored("/ok", { rejectHtml: true });
  });

  test.each([
    ["/large/3000000", 3_000_000],
    ["/undeclared/3000000", undefined],
  ])("the storage gets the size of %s where it is known: %p", async (path, size) => {
    const sizes: (number | undefined)[] = [];
    await using rig = await startRig({
      store: (store) => ({
        ...store,
        open: (ref, options) => {
          sizes.push(options.size);
          return store.open(ref, options);
        },
      }),
    });
    await rig.stored(path);
    expect(sizes).toEqual([size]);
  });

  test("an older object of its key is replaced", async () => {
    await using rig = await startRig();
    await rig.stored("/large/3000000");
    await rig.stored("/ok");
    expect(await rig.text()).toBe(BODY);
    expect(await rig.files()).toEqual([`${rig.storage.bucket}/r`]);
  });

  test("connections are used again", async () => {
    await using rig = await startRig();
    for (let i = 0; i < 10; i++) await rig.stored("/ok");
    expect(rig.origin.requests.length).toBe(10);
    expect(rig.origin.connections.total).toBe(1);
  });
});
