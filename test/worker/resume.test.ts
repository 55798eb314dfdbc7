import { describe, expect, test } from "bun:test";
import { DownloadRig, startRig } from "../support/download-rig.ts";
import { startFaultOrigin } from "../support/fault-origin.ts";
import { makeLocalHarness } from "../support/local-objects.ts";
import { largeBody } from "../support/misbehaviours.ts";
import { digest } from "../support/pattern.ts";

const MIB = 2 ** 20;

function ranges(rig: DownloadRig): (string | undefined)[] {
  return rig.origin.requests.map((request) => request.header("range"));
}

describe("a large download that is cut", () => {
  test.each(["good", "dated", "coded", "unsized"])(
    "goes on where it stopped, into the same object (%s)",
    async (kind) => {
      await using rig = await startRig();
      const bytes = 5 * MIB + 3;
      const per = 2 * MIB;
      const sha256 = Bun.CryptoHasher.hash("sha256", largeBody(bytes), "hex");
      const result = await rig.stored(`/resumable/${kind}/${bytes}/${per}`, {
        checksum: `sha256:${sha256}`,
        size: bytes,
      });
      expect(result).toMatchObject({ bytes, sha256, httpStatus: 200, integrity: "verified" });
      expect(digest(await rig.storage.readBack("r"))).toBe(`${bytes} ${sha256}`);
      // Bytes that were on their way at a cut may be lost.
      const [first, ...offsets] = ranges(rig).map((range) => range?.match(/^bytes=(\d+)-$/)?.[1]);
      expect(first).toBeUndefined();
      expect(offsets.length).toBeGreaterThan(1);
      expect(offsets.map(Number)).toEqual(offsets.map(Number).toSorted((a, b) => a - b));
      expect(Number(offsets[0])).toBeGreaterThan(MIB);
      expect(result.contentEncoding).toBe((kind === "coded" ? "br" : undefined) as string);
      const validator = kind === "dated" ? "Tue, 24 Nov 2026 11:00:00 GMT" : '"v1"';
      const asked = rig.origin.requests.slice(1).map((request) => request.header("if-range"));
      expect(asked).toEqual(offsets.map(() => validator));
      await rig.origin.idle();
      expect(rig.clock.pending).toBe(0);
    },
  );

  test.each([
    ["of which there is no proof that the rest is of the same", "weak", 1],
    ["that is another version by now", "changed", 2],
    ["whose server knows no ranges", "unranged", 2],
    ["whose server sends another range", "wrong", 2],
  ])("%s fails, and no part of it stays", async (_, kind, requests) => {
    await using rig = await startRig();
    const { failure, attempt } = await rig.failed(`/resumable/${kind}/${5 * MIB}/${2 * MIB}`);
    expect([failure.code, failure.class]).toEqual(["DOWNLOAD_TRUNCATED", "transient"]);
    expect([attempt.httpStatus, attempt.bytes > MIB]).toEqual([200, true]);
    expect(rig.origin.requests.length).toBe(requests);
    expect(await rig.files()).toEqual([]);
    await rig.origin.idle();
    expect(rig.clock.pending).toBe(0);
  });

  test("by connections with hardly any progress ends in a failure", async () => {
    await using rig = await startRig();
    const { failure } = await rig.failed(`/resumable/slow/${5 * MIB}/${2 * MIB}`);
    expect(failure.code).toBe("DOWNLOAD_TRUNCATED");
    expect(rig.origin.requests.length).toBe(2);
  });
});

describe("a host that does not want to be asked for the rest", () => {
  const RETRY_AFTER = encodeURIComponent("Retry-After: 7\r\n");

  test.each([
    [429, "", "throttled", undefined],
    [429, RETRY_AFTER, "throttled", 7000],
    [503, "", "transient", undefined],
    [503, RETRY_AFTER, "throttled", 7000],
  ] as const)("by %d %s is heard: %s, %p ms", async (status, fields, failureClass, retryAfterMs) => {
    await using rig = await startRig();
    const { failure, attempt } = await rig.failed(`/rest-refused/${status}/${3 * MIB}/${2 * MIB}/${fields}`);
    expect([failure.code, failure.class]).toEqual([`DOWNLOAD_HTTP_${status}`, failureClass]);
    expect(failure.retryAfterMs).toBe(retryAfterMs as number);
    const refusal = { bodyStart: Buffer.from("not now").toString("hex"), bytes: 2 * MIB + 7 };
    expect(attempt).toMatchObject({ code: failure.code, httpStatus: status, ...refusal });
    expect(ranges(rig)).toEqual([undefined, `bytes=${2 * MIB}-`]);
    expect(await rig.files()).toEqual([]);
    expect(rig.clock.pending).toBe(0);
  });

  test.each([403, 404, 416, 500, 502])("by %d keeps the first failure: the body was cut", async (status) => {
    await using rig = await startRig();
    const { failure, attempt } = await rig.failed(`/rest-refused/${status}/${3 * MIB}/${2 * MIB}`);
    expect([failure.code, failure.class]).toEqual(["DOWNLOAD_TRUNCATED", "transient"]);
    expect(failure.message).toBe(`the body ended after ${2 * MIB} of ${3 * MIB} bytes`);
    expect(attempt).toMatchObject({ httpStatus: 200, bytes: 2 * MIB });
    expect(await rig.files()).toEqual([]);
  });
});

/** Many servers answer Range without knowing If-Range: their bytes may be the rest of another version. */
describe("a file that changes while it is fetched", () => {
  const BYTES = 3 * MIB;
  const COME = 2 * MIB;
  const OLD = Buffer.alloc(BYTES, "1");
  const NEW = Buffer.alloc(BYTES, "2");
  const dated = (day: number) =>
    `Last-Modified: ${day === 1 ? "Mon" : "Tue"}, 0${day} Jan 2024 00:00:00 GMT\r\nDate: Fri, 05 Jan 2024 00:00:00 GMT\r\n`;

  /** The first connection brings a part of the old one; all later ones bring the new one, or its rest if asked for. */
  async function startChanging(first: string, rest: string): Promise<DownloadRig> {
    const origin = startFaultOrigin({
      file: async (exchange) => {
        const isFirst = origin.requests.length === 1;
        const range = /^bytes=(\d+)-$/.exec(exchange.header("range") ?? "")?.[1];
        const from = Number(range ?? 0);
        const status = range === undefined ? "200 OK" : "206 Part";
        const whole = isFirst ? first : "";
        const fields = range === undefined ? whole : `${rest}Content-Range: bytes ${from}-${BYTES - 1}/${BYTES}\r\n`;
        await exchange.send(`HTTP/1.1 ${status}\r\n${fields}Content-Length: ${BYTES - from}\r\n\r\n`);
        await exchange.send(isFirst ? OLD.subarray(0, COME) : NEW.subarray(from));
        if (isFirst) exchange.end();
      },
    });
    return new DownloadRig(origin, await makeLocalHarness(), {});
  }

  test.each([
    ["a date, and another one with the rest", dated(1), dated(2)],
    ["a date, and a tag with the rest", dated(1), `ETag: "new"\r\n${dated(2)}`],
    ["a tag, and none but a newer date with the rest", `ETag: "old"\r\n${dated(1)}`, dated(2)],
    ["a tag, and nothing with the rest", 'ETag: "old"\r\n', ""],
    ["a date, and nothing with the rest", dated(1), ""],
    ["a tag, and the same with a coding for the rest", 'ETag: "old"\r\n', 'ETag: "old"\r\nContent-Encoding: gzip\r\n'],
  ])("%s: nothing is mixed, and the next attempt stores it in one piece", async (_, first, rest) => {
    await using rig = await startChanging(first, rest);
    const { failure, attempt } = await rig.failed("/file");
    expect([failure.code, failure.class]).toEqual(["DOWNLOAD_TRUNCATED", "transient"]);
    expect(attempt).toMatchObject({ httpStatus: 200, bytes: COME });
    expect(ranges(rig)).toEqual([undefined, `bytes=${COME}-`]);
    expect(await rig.files()).toEqual([]);
    expect((await rig.stored("/file")).bytes).toBe(BYTES);
    expect(digest(await rig.storage.readBack("r"))).toBe(digest(NEW));
    expect(ranges(rig)[2]).toBeUndefined();
    expect(rig.origin.requests.length).toBe(3);
  });

  test("the control: the same tag in both, and the rest is taken from where the first one stopped", async () => {
    await using rig = await startChanging('ETag: "old"\r\n', 'ETag: "old"\r\n');
    await rig.stored("/file");
    const pieces = Buffer.concat([OLD.subarray(0, COME), NEW.subarray(COME)]);
    expect(digest(await rig.storage.readBack("r"))).toBe(digest(pieces));
    expect(rig.origin.requests.length).toBe(2);
  });
});
