import { describe, expect, test } from "bun:test";
import { DownloadRig, startRig } from "../support/download-rig.ts";
import { type Misbehaviour, startFaultOrigin } from "../support/fault-origin.ts";
import { makeLocalHarness } from "../support/local-objects.ts";
import { answer, BODY, MISBEHAVIOURS } from "../support/misbehaviours.ts";

const HEAD_TIMEOUT_MS = 30_000;
/** Longer than an answer is waited for: a connection does not expire meanwhile. */
const KEPT = { "Keep-Alive": "timeout=100" };

const kept = (bytes: string) => `/kept/${encodeURIComponent(bytes)}`;

describe("a body in a transfer coding that is not chunked ends with its connection", () => {
  const FIELDS = [
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: deflate",
    "Transfer-Encoding: chunked, gzip",
    "Transfer-Encoding: identity\r\nContent-Length: 5",
  ];
  const ROWS = FIELDS.flatMap((fields) => [1000, 2_000_000].map((bytes) => [fields, bytes] as const));
  const path = (fields: string, bytes: number) => `/transfer-coded/${encodeURIComponent(fields)}/${bytes}`;

  test.each(ROWS)("%j, %d bytes and a reset: it was cut, and nothing is visible", async (fields, bytes) => {
    await using rig = await startRig();
    const run = rig.failed(path(fields, bytes));
    await rig.read(bytes);
    rig.origin.requests[0]?.reset();
    const { failure, attempt } = await run;
    expect([failure.code, failure.class]).toEqual(["DOWNLOAD_TRUNCATED", "transient"]);
    expect(failure.message).toBe(`the body ended after ${bytes} bytes`);
    expect(attempt).toMatchObject({ httpStatus: 200, bytes });
    expect(await rig.files()).toEqual([]);
    expect(rig.clock.pending).toBe(0);
  });

  test.each(ROWS)("%j, %d bytes and a proper end: it is stored, unverified", async (fields, bytes) => {
    await using rig = await startRig();
    const run = rig.stored(path(fields, bytes));
    await rig.read(bytes);
    rig.origin.requests[0]?.end();
    expect(await run).toMatchObject({ bytes, integrity: "unverified", httpStatus: 200 });
    expect((await rig.storage.readBack("r"))?.byteLength).toBe(bytes);
    await rig.stored("/ok");
    expect(rig.origin.connections.total).toBe(2);
  });

  test("and is verified by a size in the manifest, which reveals a cut, too", async () => {
    await using rig = await startRig();
    for (const size of [1000, 1001]) {
      const run = rig.run(path("Transfer-Encoding: identity", 1000), { size });
      await rig.read(1000);
      rig.origin.requests.at(-1)?.end();
      const outcome = await run;
      if (size === 1000) expect(outcome).toMatchObject({ kind: "stored", result: { integrity: "verified" } });
      else expect(outcome).toMatchObject({ kind: "failed", failure: { code: "DOWNLOAD_SIZE_MISMATCH" } });
    }
  });
});

describe("connections that the host closed without a word", () => {
  test.each(["end", "reset"] as const)("while they were idle (%s) cost nothing", async (how) => {
    await using rig = await startRig();
    for (let i = 1; i <= 3; i++) {
      await rig.stored("/ok");
      rig.origin.requests.at(-1)?.[how]();
      await rig.origin.idle();
      expect([rig.origin.requests.length, rig.origin.connections.total]).toEqual([i, i]);
    }
  });

  test.each(["end", "reset"] as const)("just when the next request came (%s) cost no attempt", async (how) => {
    let known = 0;
    const origin = startFaultOrigin({
      // The first request of each connection is answered, and no other one.
      once: (exchange) => {
        if (origin.connections.total === known) return exchange[how]();
        known = origin.connections.total;
        return void answer(exchange, 200, KEPT, `answer ${known}`);
      },
    });
    await using rig = new DownloadRig(origin, await makeLocalHarness(), {});
    for (let i = 1; i <= 5; i++) {
      await rig.stored("/once");
      expect(await rig.text()).toBe(`answer ${i}`);
      expect([origin.requests.length, origin.connections.total]).toEqual([2 * i - 1, i]);
    }
    expect(rig.clock.pending).toBe(0);
  });

  test.each(["end", "reset"] as const)("all at once (%s) cost no attempt of as many tasks", async (how) => {
    const COUNT = 10;
    await using rig = await startWarm(COUNT, (exchange) => void answer(exchange, 200, KEPT, BODY));
    for (const request of rig.origin.requests) request[how]();
    await Promise.all(keys(COUNT).map((key) => rig.stored("/x", { key })));
    expect(rig.origin.connections.total).toBe(2 * COUNT);
  });

  test("in the middle of an answer's head cost the attempt: the request is not sent again behind its back", async () => {
    await using rig = await startRig();
    await rig.stored("/ok");
    expect((await rig.failed("/reset-in-headers")).failure.code).toBe("DOWNLOAD_RESET");
    expect(rig.origin.requests.length).toBe(2);
  });
});

describe("kept connections that have fallen silent", () => {
  const COUNT = 4;

  test("cost one timeout in all, and the next request has a new one", async () => {
    await using rig = await startWarm(COUNT, (exchange) => {
      if (rig.origin.connections.total > COUNT) void answer(exchange, 200, KEPT, BODY);
    });
    const run = rig.failed("/x");
    await rig.origin.requested(COUNT + 1);
    await rig.clock.advance(HEAD_TIMEOUT_MS);
    const { failure, attempt } = await run;
    expect([failure.code, failure.class]).toEqual(["DOWNLOAD_TIMEOUT", "transient"]);
    expect(attempt).toMatchObject({ durationMs: HEAD_TIMEOUT_MS, bytes: 0 });
    await rig.origin.idle();
    await rig.stored("/x");
    expect([rig.origin.requests.length, rig.origin.connections.total]).toEqual([COUNT + 2, COUNT + 1]);
    await rig.stored("/x");
    expect(rig.origin.connections.total).toBe(COUNT + 1);
    expect(rig.clock.pending).toBe(0);
  });

  test("are not used at all once the host may have given them up", async () => {
    await using rig = await startWarm(COUNT, (exchange) => {
      if (rig.origin.connections.total > COUNT) void answer(exchange, 200, KEPT, BODY);
    });
    await rig.clock.advance(60_000);
    await rig.stored("/x");
    expect([rig.origin.requests.length, rig.origin.connections.total]).toEqual([COUNT + 1, COUNT + 1]);
  });
});

describe("bytes behind the end of an answer", () => {
  const BEHIND = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstray!";
  const OK = "HTTP/1.1 200 OK\r\n";

  test.each([
    ["a length", `${OK}Content-Length: 2\r\n\r\nmy`, "my"],
    ["chunks", `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nmy\r\n0\r\n\r\n`, "my"],
    ["no body", `${OK}Content-Length: 0\r\n\r\n`, ""],
  ])("of %s, a whole unrequested answer, belong to no request", async (_, asked, body) => {
    await using rig = await startRig();
    for (let i = 1; i <= 3; i++) {
      await rig.stored(kept(asked + BEHIND));
      expect(await rig.text()).toBe(body);
      await rig.stored("/ok");
      expect(await rig.text()).toBe(BODY);
    }
    expect(rig.origin.requests.length).toBe(6);
    // That of /ok serves the next of the loop, too.
    expect(rig.origin.connections.total).toBe(4);
  });

  test.each([
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
  ])("of a failure (%j) belong to no request", async (asked) => {
    await using rig = await startRig();
    await rig.failed(kept(asked + BEHIND));
    await rig.stored("/ok");
    expect(await rig.text()).toBe(BODY);
    expect(rig.origin.connections.total).toBe(2);
  });

  test("of a redirect are not the answer of the next hop", async () => {
    await using rig = await startRig();
    const asked = "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n";
    await rig.stored(kept(asked + BEHIND));
    expect(await rig.text()).toBe(BODY);
    expect(rig.origin.requests.length).toBe(2);
  });

  test.each([BEHIND, "\r\n", "x"])("that come once the connection is idle (%j) end it", async (behind) => {
    await using rig = await startRig();
    await rig.stored("/ok");
    await rig.origin.requests[0]?.send(behind);
    await rig.origin.idle();
    await rig.stored("/ok");
    expect(await rig.text()).toBe(BODY);
    expect(rig.origin.connections.total).toBe(2);
  });
});

function keys(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `k${i}`);
}

/** A rig with this number of kept connections to its origin; `/x` is answered by `later` from then on. */
async function startWarm(count: number, later: Misbehaviour): Promise<DownloadRig> {
  let isWarm = false;
  const origin = startFaultOrigin({
    ...MISBEHAVIOURS,
    x: async (exchange) => {
      if (isWarm) return later(exchange);
      await origin.requested(count); // so that each has a connection of its own
      await answer(exchange, 200, KEPT, BODY);
    },
  });
  const rig = new DownloadRig(origin, await makeLocalHarness(), {});
  await Promise.all(keys(count).map((key) => rig.stored("/x", { key })));
  expect(origin.connections).toEqual({ total: count, open: count });
  isWarm = true;
  return rig;
}
