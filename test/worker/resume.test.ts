import { describe, expect, test } from "bun:test";
import { restOf, strongValidator } from "../../src/worker/resume.ts";
import { type DownloadRig, startRig } from "../support/download-rig.ts";
import { largeBody } from "../support/misbehaviours.ts";
import { digest } from "../support/pattern.ts";

const MIB = 2 ** 20;

function ranges(rig: DownloadRig): (string | undefined)[] {
  return rig.origin.requests.map((request) => request.header("range"));
}

describe("a large download that is cut", () => {
  test.each(["good", "dated"])("goes on where it stopped, into the same object (%s)", async (kind) => {
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
    // What was on its way at a cut may not have come through.
    const [first, ...offsets] = ranges(rig).map((range) => range?.match(/^bytes=(\d+)-$/)?.[1]);
    expect(first).toBeUndefined();
    expect(offsets.length).toBeGreaterThan(1);
    expect(offsets.map(Number)).toEqual(offsets.map(Number).toSorted((a, b) => a - b));
    expect(Number(offsets[0])).toBeGreaterThan(MIB);
    const validator = kind === "good" ? '"v1"' : "Tue, 24 Nov 2026 11:00:00 GMT";
    const asked = rig.origin.requests.slice(1).map((request) => request.header("if-range"));
    expect(asked).toEqual(offsets.map(() => validator));
    await rig.origin.idle();
    expect(rig.clock.pending).toBe(0);
  });

  test.each([
    ["of which there is no proof that the rest is of the same", "weak", 1],
    ["that is another version by now", "changed", 2],
    ["whose server knows no ranges", "unranged", 2],
    ["whose server sends another range", "wrong", 2],
  ])("%s has failed, and nothing of it stays", async (_, kind, requests) => {
    await using rig = await startRig();
    const { failure, attempt } = await rig.failed(`/resumable/${kind}/${5 * MIB}/${2 * MIB}`);
    expect([failure.code, failure.class]).toEqual(["DOWNLOAD_TRUNCATED", "transient"]);
    expect([attempt.httpStatus, attempt.bytes > MIB]).toEqual([200, true]);
    expect(rig.origin.requests.length).toBe(requests);
    expect(await rig.files()).toEqual([]);
    await rig.origin.idle();
    expect(rig.clock.pending).toBe(0);
  });

  test("by connections that bring hardly anything is given up", async () => {
    await using rig = await startRig();
    const { failure } = await rig.failed(`/resumable/slow/${5 * MIB}/${2 * MIB}`);
    expect(failure.code).toBe("DOWNLOAD_TRUNCATED");
    expect(rig.origin.requests.length).toBe(2);
  });
});

describe("a strong validator", () => {
  const at = (fields: Record<string, string>) => strongValidator(new Headers(fields));
  const DATE = "Tue, 24 Nov 2026 12:00:00 GMT";

  test.each([
    [{ etag: '"a"' }, '"a"'],
    [{ etag: 'W/"a"' }, undefined],
    [{ etag: "a" }, undefined],
    [{ etag: '"a"', "accept-ranges": "none" }, undefined],
    [{ "last-modified": "Tue, 24 Nov 2026 11:59:00 GMT", date: DATE }, "Tue, 24 Nov 2026 11:59:00 GMT"],
    [{ "last-modified": "Tue, 24 Nov 2026 11:59:01 GMT", date: DATE }, undefined],
    [{ "last-modified": "Tue, 24 Nov 2026 11:00:00 GMT" }, undefined],
    [{ "last-modified": "yesterday", date: DATE }, undefined],
    [{}, undefined],
  ] as [Record<string, string>, string | undefined][])("of %j is %p", (fields, validator) => {
    expect(at(fields)).toBe(validator);
  });
});

describe("the rest of a body", () => {
  const point = { validator: '"a"', offset: 100, total: 300 };
  const rest = (range: string, status = 206, more = {}) =>
    restOf(new Response("", { status, headers: { "content-range": range, ...more } }), point);

  test("is what begins where the other stopped, and ends where the whole does", () => {
    expect(rest("bytes 100-299/300")).toBe(300);
    expect(rest("bytes 100-299/300", 206, { etag: '"a"' })).toBe(300);
  });

  test.each([
    ["bytes 0-299/300", 206, {}],
    ["bytes 100-298/300", 206, {}],
    ["bytes 100-399/400", 206, {}],
    ["bytes 100-299/*", 206, {}],
    ["items 100-299/300", 206, {}],
    ["bytes 100-299/300", 200, {}],
    ["bytes 100-299/300", 206, { etag: '"b"' }],
  ] as const)("is not %s with status %d and %j", (range, status, more) => {
    expect(rest(range, status, more)).toBeUndefined();
  });
});
