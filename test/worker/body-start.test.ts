import { describe, expect, test } from "bun:test";
import { Failure } from "../../src/jobs/failure.ts";
import { InterruptedError } from "../../src/worker/interrupted.ts";
import { SecretMask } from "../../src/worker/secret-mask.ts";
import { turn } from "../support/clock.ts";
import { DownloadRig, startRig } from "../support/download-rig.ts";
import { eventually } from "../support/eventually.ts";
import { type Misbehaviour, startFaultOrigin } from "../support/fault-origin.ts";
import { makeLocalHarness } from "../support/local-objects.ts";
import { answer, BODY, MISBEHAVIOURS } from "../support/misbehaviours.ts";

const REFUSED = "HTTP/1.1 403 Forbidden\r\n";
const WAIT_MS = 1000;

const hex = (bytes: string | Uint8Array) => Buffer.from(bytes as string).toString("hex");
const kept = (bytes: string) => `/kept/${encodeURIComponent(bytes)}`;
const chunked = (...chunks: string[]) => chunks.map((text) => `${text.length.toString(16)}\r\n${text}\r\n`).join("");

/** A rig whose origin also answers `/x` in this way. */
async function startAnswering(x: Misbehaviour): Promise<DownloadRig> {
  return new DownloadRig(startFaultOrigin({ ...MISBEHAVIOURS, x }), await makeLocalHarness(), {});
}

/** Resolves once the download waits for the rest of a body and nothing else. */
async function waiting(rig: DownloadRig): Promise<void> {
  await rig.head();
  await eventually("the wait for the body", () => rig.clock.pending === 1 || undefined);
}

/** Whether the connection served the next request, too. */
async function isReused(rig: DownloadRig): Promise<boolean> {
  const before = rig.origin.connections.total;
  await rig.stored("/ok");
  return rig.origin.connections.total === before;
}

describe("the body's start of a refusal", () => {
  test.each([403, 404, 500, 503, 429])("with %d is in the attempt, and the connection is kept", async (status) => {
    await using rig = await startRig();
    const { failure, attempt } = await rig.failed(`/status/${status}`);
    expect([failure.code, failure.message]).toEqual([`DOWNLOAD_HTTP_${status}`, `the origin answered ${status}`]);
    expect(attempt).toMatchObject({ bodyStart: hex("a message"), bytes: 9, httpStatus: status, durationMs: 0 });
    expect(rig.clock.pending).toBe(0);
    expect(await isReused(rig)).toBe(true);
  });

  test("stays as it was served, also in a coding", async () => {
    const body = Bun.gzipSync("Request blocked");
    await using rig = await startAnswering(
      (exchange) => void answer(exchange, 403, { "Content-Encoding": "gzip" }, body),
    );
    expect((await rig.failed("/x")).attempt).toMatchObject({ bodyStart: hex(body), bytes: body.length });
  });

  test("has at most 512 bytes, of any number of chunks", async () => {
    const text = "0123456789".repeat(60);
    await using rig = await startRig();
    const bytes = `${REFUSED}Transfer-Encoding: chunked\r\n\r\n${chunked(...text.split(""))}0\r\n\r\n`;
    expect((await rig.failed(kept(bytes))).attempt.bodyStart).toBe(hex(text.slice(0, 512)));
    expect((await rig.failed("/unwanted/404/1")).attempt.bodyStart).toBe("00".repeat(512));
    expect(rig.origin.sent.bytes).toBeLessThan(20 * 2 ** 20);
    await eventually("the connection is closed", () => rig.origin.requests[1]?.isClosed() || undefined);
  });

  test.each([
    ["Content-Length: 0", `${REFUSED}Content-Length: 0\r\n\r\n`],
    ["an empty chunk", `${REFUSED}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ["204", "HTTP/1.1 204 No Content\r\n\r\n"],
    ["304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n"],
  ])("is absent without a body (%s), and the connection is kept", async (_, bytes) => {
    await using rig = await startRig();
    const { attempt } = await rig.failed(kept(bytes));
    expect(attempt).toMatchObject({ bytes: 0, durationMs: 0 });
    expect(attempt.bodyStart).toBeUndefined();
    expect(await isReused(rig)).toBe(true);
  });

  test.each([
    ["that ends with the connection", `${REFUSED}\r\nsome`],
    ["that ends too early", `${REFUSED}Content-Length: 100\r\n\r\nsome`],
    ["with an invalid chunk", `${REFUSED}Transfer-Encoding: chunked\r\n\r\n${chunked("some")}ZZ\r\nmore`],
  ])("is kept of a body %s", async (_, bytes) => {
    await using rig = await startRig();
    const { failure, attempt } = await rig.failed(`/raw/${encodeURIComponent(bytes)}`);
    expect([failure.code, failure.class]).toEqual(["DOWNLOAD_HTTP_403", "permanent"]);
    expect(attempt).toMatchObject({ bodyStart: hex("some"), bytes: 4 });
    expect(rig.clock.pending).toBe(0);
  });

  test("is kept of a body that a reset ends", async () => {
    await using rig = await startRig();
    const run = rig.failed(kept(`${REFUSED}Content-Length: 100\r\n\r\nsome`));
    await rig.read(4);
    rig.origin.requests[0]?.reset();
    const { failure, attempt } = await run;
    expect(failure.code).toBe("DOWNLOAD_HTTP_403");
    expect(attempt).toMatchObject({ bodyStart: hex("some"), durationMs: 0 });
    expect(rig.clock.pending).toBe(0);
  });

  test("has no secret that the host repeats", async () => {
    await using rig = await startRig({ secrets: new SecretMask(["s3cret-token"]) });
    const { attempt } = await rig.failed(kept(`${REFUSED}Content-Length: 16\r\n\r\n<s3cret-token> x`));
    expect(attempt.bodyStart).toBe(hex("<***> x"));
  });

  test("of a redirect without a usable location is in the attempt", async () => {
    await using rig = await startRig();
    expect((await rig.failed("/redirect/302")).attempt).toMatchObject({ bodyStart: hex("moved"), httpStatus: 302 });
    expect(await isReused(rig)).toBe(true);
  });
});

test("the body of a redirect that is followed is not waited for", async () => {
  await using rig = await startRig();
  await rig.stored(kept("HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 1000\r\n\r\n"));
  expect(await rig.text()).toBe(BODY);
  expect(rig.clock.pending).toBe(0);
});

describe("a refusal whose body comes later than its head", () => {
  test("frees its connection for the next request if it is short", async () => {
    await using rig = await startRig();
    const run = rig.failed(kept(`${REFUSED}Content-Length: 600\r\n\r\n`));
    await waiting(rig);
    await rig.origin.requests[0]?.send("a".repeat(300));
    await rig.read(300);
    await rig.origin.requests[0]?.send("b".repeat(300));
    expect((await run).attempt).toMatchObject({ bodyStart: hex("a".repeat(300) + "b".repeat(212)), bytes: 600 });
    expect(await isReused(rig)).toBe(true);
  });

  test.each([
    ["", undefined],
    ["some", hex("some")],
  ])("is left after a second with what came (%j)", async (start, bodyStart) => {
    await using rig = await startRig();
    const run = rig.failed(kept(`${REFUSED}Content-Length: 100\r\n\r\n${start}`));
    await waiting(rig);
    await rig.read(start.length);
    await rig.clock.advance(WAIT_MS - 1);
    expect(rig.origin.connections.open).toBe(1);
    await rig.clock.advance(1);
    const { failure, attempt } = await run;
    expect([failure.code, failure.class]).toEqual(["DOWNLOAD_HTTP_403", "permanent"]);
    expect([attempt.bodyStart, attempt.durationMs]).toEqual([bodyStart, WAIT_MS]);
    await rig.origin.idle();
    expect(rig.clock.pending).toBe(0);
    expect(rig.active.list()).toEqual([]);
  });

  test("has no longer wait because its bytes trickle in", async () => {
    await using rig = await startRig();
    const run = rig.failed(kept(`${REFUSED}Content-Length: 100\r\n\r\n`));
    await waiting(rig);
    for (let bytes = 1; bytes <= 4; bytes++) {
      await rig.origin.requests[0]?.send("x");
      await rig.read(bytes);
      await rig.clock.advance(WAIT_MS / 4);
    }
    expect((await run).attempt).toMatchObject({ bodyStart: hex("xxxx"), durationMs: WAIT_MS });
  });

  test.each([
    ["a shutdown", new InterruptedError("shutdown")],
    ["a cancellation", new InterruptedError("cancel")],
    ["the attempt's time limit", new Failure("DOWNLOAD_TIMEOUT", "the attempt took too long")],
  ])("is left at once by %s, and stays the same failure", async (_, reason) => {
    await using rig = await startRig();
    const attempt = rig.attempt(kept("HTTP/1.1 500 x\r\nContent-Length: 100\r\n\r\nsome"));
    const run = rig.service.call(attempt);
    await rig.read(4);
    attempt.abort(reason);
    expect(await run).toMatchObject({
      kind: "failed",
      failure: { code: "DOWNLOAD_HTTP_500", class: "transient" },
      attempt: { bodyStart: hex("some"), durationMs: 0 },
    });
    await rig.origin.idle();
    expect(rig.clock.pending).toBe(0);
  });

  test.each([429, 503])("keeps the Retry-After of a %d, as seconds and as a date", async (status) => {
    await using rig = await startRig();
    for (const ms of [7000, 90_000]) {
      const value = ms === 7000 ? "7" : new Date(rig.clock.now() + ms).toUTCString();
      const head = `HTTP/1.1 ${status} x\r\nRetry-After: ${value}\r\nContent-Length: 100\r\n\r\n`;
      const run = rig.failed(kept(`${head}slow down`));
      await rig.read(9);
      await rig.clock.advance(WAIT_MS);
      const { failure, attempt } = await run;
      expect([failure.class, failure.retryAfterMs]).toEqual(["throttled", ms]);
      expect(attempt).toMatchObject({ bodyStart: hex("slow down"), httpStatus: status });
    }
  });
});

test("a body that fails a check by its head is waited for no longer than the body of a refusal", async () => {
  await using rig = await startRig();
  const head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100\r\n\r\n";
  const run = rig.failed(kept(`${head}<html>`), { contentType: "image/*" });
  await rig.read(6);
  await rig.clock.advance(WAIT_MS);
  const { failure, attempt } = await run;
  expect(failure.code).toBe("DOWNLOAD_CONTENT_TYPE_MISMATCH");
  expect(attempt).toMatchObject({ bodyStart: hex("<html>"), bytes: 6, durationMs: WAIT_MS });
  await turn();
  expect(rig.clock.pending).toBe(0);
});
