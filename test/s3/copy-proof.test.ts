import { describe, expect, test } from "bun:test";
import type { Upload } from "../../src/jobs/object-store.ts";
import { FakeClock } from "../support/clock.ts";
import { eventually } from "../support/eventually.ts";
import { type FaultyS3, startFaultyS3 } from "../support/faulty-s3.ts";
import { failFirst, isPut, MIB, never, PART, put, REF, storeOn, writeAll } from "../support/faulty-store.ts";
import type { ChecksumChecks, S3Call } from "../support/memory-s3.ts";
import { digest, pattern } from "../support/pattern.ts";
import { failureOf } from "../support/rejection.ts";

type Store = ReturnType<typeof storeOn>;

const LARGE = 2 * PART + 1;
const isWhole = (call: S3Call) => isPut(call) && !call.query.has("uploadId");
const isPart = (call: S3Call) => call.query.has("partNumber");
const headersOf = ({ headers }: S3Call) =>
  ["x-amz-checksum-sha256", "content-md5", "x-amz-trailer"].filter((name) => headers.has(name));

/** An upload whose size is declared and whose digest is known at its end, as a download's. */
async function openKnown(store: Store, body: Uint8Array, more: { isRepeated?: boolean; size?: undefined } = {}) {
  const sha256 = () => Bun.CryptoHasher.hash("sha256", body, "hex");
  const onOpen = () => Promise.resolve();
  const { size, ...rest } = { size: body.byteLength, ...more };
  return store.open(REF, { contentType: "x/y", signal: never, onOpen, sha256, ...(size && { size }), ...rest });
}

async function storeLarge(store: Store, body: Uint8Array) {
  const upload: Upload = await openKnown(store, body);
  try {
    await writeAll(upload, body);
    return await upload.commit();
  } catch (error) {
    await upload.abort();
    throw error;
  }
}

function flipped(body: Buffer): Buffer {
  const other = Buffer.from(body);
  if (other.byteLength > 0) other.writeUInt8(other.readUInt8(0) ^ 1, 0);
  return other;
}

/** Answers as if all were well and keeps something else. */
function keepOther(s3: FaultyS3, checks: ChecksumChecks, corruption: (body: Buffer) => Buffer): void {
  s3.checks = checks;
  s3.corruption = corruption;
}

describe("a body at hand", () => {
  test.each([
    ["all", ["x-amz-checksum-sha256"]],
    ["hash", ["x-amz-checksum-sha256"]],
    ["unsupported", ["content-md5"]],
  ] as const)("goes to a server that checks %s with %j from the second on, and is proven", async (checks, names) => {
    await using s3 = await startFaultyS3();
    s3.checks = checks;
    const store = storeOn(s3.endpoint);
    for (let i = 0; i < 2; i++) expect((await put(store)).provenBy).toBe("checksum");
    expect(headersOf(s3.calls.at(-1) as S3Call)).toEqual([...names]);
    expect(s3.calls.length).toBe(checks === "unsupported" ? 3 : 2);
  });

  test("is taken by a bucket that demands a checksum", async () => {
    await using s3 = await startFaultyS3();
    const body = "<Error><Code>InvalidRequest</Code></Error>";
    s3.faultFor = (call) => (headersOf(call).length === 0 ? { kind: "answer", status: 400, body } : undefined);
    expect((await put(storeOn(s3.endpoint))).provenBy).toBe("checksum");
  });

  test("that is refused whatever its checksum is refused with what S3 said", async () => {
    await using s3 = await startFaultyS3();
    const body = "<Error><Code>InvalidRequest</Code></Error>";
    s3.faultFor = () => ({ kind: "answer", status: 400, body });
    const store = storeOn(s3.endpoint);
    expect((await failureOf(put(store))).code).toBe("UPLOAD_REJECTED");
    s3.faultFor = () => undefined;
    await put(store);
    expect(headersOf(s3.calls.at(-1) as S3Call)).toEqual(["x-amz-checksum-sha256"]);
  });

  test.each(["all", "hash"] as const)("that is damaged once on the way is sent again (%s)", async (checks) => {
    await using s3 = await startFaultyS3();
    s3.checks = checks;
    let times = 1;
    s3.corruption = (body) => (times-- > 0 ? flipped(body) : body);
    expect((await put(storeOn(s3.endpoint))).provenBy).toBe("checksum");
    expect(digest(s3.objects.get("a/b")?.body)).toBe(digest(pattern(100)));
  });

  test.each<[string, ChecksumChecks, (body: Buffer) => Buffer]>([
    ["damaged each time, by a server that compares", "all", flipped],
    ["damaged each time, by a server that does not", "none", flipped],
    ["stored as nothing", "none", () => Buffer.alloc(0)],
    ["stored in part", "none", (body) => body.subarray(1)],
  ])("that is %s is UPLOAD_CORRUPT, and nothing of it stays visible", async (_, checks, corruption) => {
    await using s3 = await startFaultyS3();
    keepOther(s3, checks, corruption);
    for (const bytes of [100, 3 * MIB]) {
      const failure = await failureOf(put(storeOn(s3.endpoint), bytes));
      expect([failure.code, failure.class]).toEqual(["UPLOAD_CORRUPT", "rejected"]);
      expect(s3.objects.size).toBe(0);
    }
  });

  test("to a server whose ETags are no MD5 is proven where it compares hashes, else by size", async () => {
    for (const [checks, provenBy] of [
      ["hash", "checksum"],
      ["none", "size"],
    ] as const) {
      await using s3 = await startFaultyS3();
      s3.checks = checks;
      s3.etagOf = () => '"opaque-1"';
      const store = storeOn(s3.endpoint);
      for (let i = 0; i < 2; i++) expect((await put(store)).provenBy).toBe(provenBy);
      expect(s3.uploads.size).toBe(0);
    }
  });

  test("is not compared by an ETag that is no MD5, though it looks like one: of a server, or of what is encrypted", async () => {
    for (const [answerHeaders, checks, provenBy] of [
      [{}, "hash", "checksum"],
      [{ "x-amz-server-side-encryption": "aws:kms" }, "none", "size"],
    ] as const) {
      await using s3 = await startFaultyS3();
      s3.checks = checks;
      s3.etagOf = () => '"0123456789abcdef0123456789abcdef"';
      s3.answerHeaders = answerHeaders;
      expect((await put(storeOn(s3.endpoint))).provenBy).toBe(provenBy);
      expect((await storeLarge(storeOn(s3.endpoint), pattern(LARGE))).provenBy).toBe(provenBy);
    }
  });

  test("whose success comes before the server has it is sent again, or fails as on a cut connection", async () => {
    const early = { kind: "answer", status: 200, early: true, headers: { etag: '"x"' } } as const;
    for (const [store, send] of [
      ["whole", (s3: FaultyS3) => put(storeOn(s3.endpoint), PART)],
      ["in parts", (s3: FaultyS3) => storeLarge(storeOn(s3.endpoint), pattern(LARGE))],
    ] as const) {
      await using s3 = await startFaultyS3();
      s3.checks = "hash"; // without trailers no body is streamed
      const isLarge = (call: S3Call) => isPut(call) && Number(call.headers.get("content-length")) >= PART;
      failFirst(s3, 1, isLarge, early);
      await send(s3);
      expect([store, s3.objects.get("a/b")?.body.byteLength]).toEqual([store, store === "whole" ? PART : LARGE]);
      failFirst(s3, Number.POSITIVE_INFINITY, isLarge, early);
      const failure = await failureOf(send(s3));
      expect(failure.code).toBe("UPLOAD_UNAVAILABLE");
      expect(failure.message).toContain("with status 200 before it had the body");
      expect(failure.mayConcernObject).toBe(true);
    }
  });

  test("is not probed for where the upload of the probe cannot be recorded, and goes by its size", async () => {
    await using s3 = await startFaultyS3();
    s3.checks = "hash";
    s3.etagOf = () => '"opaque-1"';
    const store = storeOn(s3.endpoint);
    const onProbe = () => Promise.reject(new Error("the queue is away"));
    const stored = await store.put(REF, pattern(100), { contentType: "x/y", signal: never, onProbe });
    expect(stored.provenBy).toBe("size");
    expect(s3.calls.filter(({ method }) => method === "POST")).toEqual([]);
  });

  test("is not stored by a web server that answers 200 to everything", async () => {
    await using s3 = await startFaultyS3();
    s3.faultFor = () => ({ kind: "answer", status: 200, body: "<html>It works!</html>" });
    const failure = await failureOf(put(storeOn(s3.endpoint)));
    expect(failure.code).toBe("UPLOAD_UNAVAILABLE");
    expect(failure.message).toContain("not an S3 service");
  });

  test("whose answer has no ETag is asked after", async () => {
    await using s3 = await startFaultyS3();
    s3.checks = "hash";
    s3.etagOf = () => undefined;
    expect((await put(storeOn(s3.endpoint))).provenBy).toBe("size");
    expect(s3.calls.at(-1)?.method).toBe("HEAD");
  });

  test("that nothing proves, and that nobody may look at, is not stored", async () => {
    await using s3 = await startFaultyS3();
    s3.checks = "none";
    s3.etagOf = () => '"opaque-1"';
    s3.faultFor = ({ method }) => (method === "HEAD" ? { kind: "answer", status: 403 } : undefined);
    const failure = await failureOf(put(storeOn(s3.endpoint)));
    expect(failure.code).toBe("UPLOAD_ACCESS_DENIED");
    expect(failure.message).toContain("s3:GetObject");
    expect((await failureOf(storeLarge(storeOn(s3.endpoint), pattern(LARGE)))).code).toBe("UPLOAD_ACCESS_DENIED");
  });

  test("is proven by a server that compares hashes, though nobody may look at it", async () => {
    await using s3 = await startFaultyS3();
    s3.checks = "hash";
    s3.faultFor = ({ method }) => (method === "HEAD" ? { kind: "answer", status: 403 } : undefined);
    expect((await put(storeOn(s3.endpoint))).provenBy).toBe("checksum");
    expect((await storeLarge(storeOn(s3.endpoint), pattern(LARGE))).provenBy).toBe("checksum");
  });

  test("is compared though the server returns each SHA-256 that it is given", async () => {
    for (const etagOf of [undefined, () => '"opaque-1"']) {
      await using s3 = await startFaultyS3();
      s3.checks = "none";
      s3.isEcho = true;
      if (etagOf !== undefined) s3.etagOf = etagOf;
      const store = storeOn(s3.endpoint);
      await storeLarge(store, pattern(LARGE));
      expect((await put(store)).provenBy).toBe(etagOf === undefined ? "checksum" : "size");
      s3.corruption = flipped;
      if (etagOf === undefined) expect((await failureOf(put(store))).code).toBe("UPLOAD_CORRUPT");
      else expect((await put(store)).provenBy).toBe("size");
    }
  });

  test("is compared again now and then, though the server compares hashes: it may be another one by now", async () => {
    await using s3 = await startFaultyS3();
    s3.checks = "hash";
    const store = storeOn(s3.endpoint);
    await storeLarge(store, pattern(LARGE));
    for (let i = 0; i < 20; i++) await put(store);
    keepOther(s3, "none", flipped);
    let corrupt = 0;
    for (let i = 0; i < 64; i++) await put(store).catch(() => corrupt++);
    expect(corrupt).toBeGreaterThan(0);
  });

  test("waits five seconds at most for what finds out about the server, and not where its MD5 proves it", async () => {
    for (const etag of ['"opaque-1"', undefined]) {
      await using s3 = await startFaultyS3();
      s3.checks = "hash";
      if (etag !== undefined) s3.etagOf = () => etag;
      const clock = new FakeClock();
      const store = storeOn(s3.endpoint, { clock, now: () => clock.now() });
      const isProbe = ({ method, query }: S3Call) => method === "PUT" && query.has("partNumber");
      s3.faultFor = (call) => (isProbe(call) ? { kind: "stall" } : undefined);
      if (etag === undefined) for (let i = 0; i < 100; i++) await put(store);
      const probing = s3.arrival(isProbe);
      const first = put(store);
      await probing;
      const second = put(store);
      if (etag === undefined) expect((await second).provenBy).toBe("checksum");
      await clock.advance(5000);
      const provenBy = etag === undefined ? "checksum" : "size";
      expect([(await first).provenBy, (await second).provenBy]).toEqual([provenBy, provenBy]);
      await eventually("the upload is aborted", () => s3.uploads.size === 0 || undefined);
    }
  });

  test("is not taken for compared by a server whose upload went away under the probe", async () => {
    await using s3 = await startFaultyS3();
    s3.checks = "none";
    s3.etagOf = () => '"opaque-1"';
    const store = storeOn(s3.endpoint);
    const isGone = ({ query }: S3Call) => Number(query.get("partNumber")) > 1;
    const body = "<Error><Code>NoSuchUpload</Code></Error>";
    s3.faultFor = (call) => (isGone(call) ? { kind: "answer", status: 404, body } : undefined);
    expect((await put(store)).provenBy).toBe("size");
  });

  test("asks a server that could not be asked again after a minute, and not with each object", async () => {
    await using s3 = await startFaultyS3();
    let now = 0;
    const store = storeOn(s3.endpoint, { now: () => now });
    const isAsked = ({ method, query }: S3Call) => method === "POST" && query.has("uploads");
    s3.faultFor = (call) => (isAsked(call) ? { kind: "answer", status: 403 } : undefined);
    for (let i = 0; i < 110; i++) expect((await put(store)).provenBy).toBe("checksum");
    expect(s3.calls.filter(isAsked).length).toBe(1);
    now += 60_000;
    await put(store);
    expect(s3.calls.filter(isAsked).length).toBe(2);
  });

  test("that a hundred have gone before lets the server be asked whether it compares hashes", async () => {
    await using s3 = await startFaultyS3();
    const store = storeOn(s3.endpoint);
    for (let i = 0; i < 100; i++) await put(store);
    expect(s3.calls.some(({ method }) => method === "POST")).toBe(false);
    for (let i = 0; i < 20; i++) await put(store);
    expect(s3.calls.filter(({ method, query }) => method === "POST" && query.has("uploads")).length).toBe(1);
    expect(s3.uploads.size).toBe(0);
  });
});

describe("a large body", () => {
  const body = pattern(LARGE);

  test("is streamed with its SHA-256 behind it where the server takes that, and proven", async () => {
    await using s3 = await startFaultyS3();
    const stored = await storeLarge(storeOn(s3.endpoint), body);
    expect([stored.bytes, stored.provenBy]).toEqual([LARGE, "checksum"]);
    expect(digest(s3.objects.get("a/b")?.body)).toBe(digest(body));
    const [streamed, ...others] = s3.calls.filter(isWhole);
    expect(others).toEqual([]);
    expect(headersOf(streamed as S3Call)).toEqual(["x-amz-trailer"]);
    expect(s3.objects.get("a/b")?.metadata["content-encoding"]).toBeUndefined();
    expect(s3.uploads.size).toBe(0);
  });

  test.each([
    ["hash", ["x-amz-checksum-sha256"]],
    ["unsupported", ["content-md5"]],
    ["none", ["x-amz-checksum-sha256"]],
  ] as const)("goes in parts to a server that checks %s, with %j, and is proven", async (checks, names) => {
    await using s3 = await startFaultyS3();
    s3.checks = checks;
    const stored = await storeLarge(storeOn(s3.endpoint), body);
    expect([stored.bytes, stored.provenBy]).toEqual([LARGE, "checksum"]);
    expect(digest(s3.objects.get("a/b")?.body)).toBe(digest(body));
    expect(s3.calls.filter(isWhole)).toEqual([]);
    expect(headersOf(s3.calls.filter(isPart).at(-1) as S3Call)).toEqual([...names]);
    expect(s3.uploads.size).toBe(0);
  });

  test("goes to a server that knows no header of checksums (Backblaze B2)", async () => {
    await using s3 = await startFaultyS3();
    s3.checks = "hash";
    const body400 = "<Error><Code>InvalidArgument</Code></Error>";
    const knows = ({ headers }: S3Call) =>
      ![...headers.keys()].some((name) => /^x-amz-(?:checksum|trailer|decoded)/.test(name));
    s3.faultFor = (call) => (knows(call) ? undefined : { kind: "answer", status: 400, body: body400 });
    expect((await put(storeOn(s3.endpoint))).provenBy).toBe("checksum");
    expect((await storeLarge(storeOn(s3.endpoint), body)).provenBy).toBe("checksum");
  });

  test.each([
    [400, "InvalidArgument"],
    [501, "NotImplemented"],
    [400, "MissingContentMD5"],
  ])("goes to a server that takes a SHA-256 with whole objects and not with parts (%d %s)", async (status, code) => {
    await using s3 = await startFaultyS3();
    s3.checks = "hash";
    const refusal = `<Error><Code>${code}</Code></Error>`;
    const isRefused = (call: S3Call) => isPart(call) && call.headers.has("x-amz-checksum-sha256");
    s3.faultFor = (call) => (isRefused(call) ? { kind: "answer", status, body: refusal } : undefined);
    const store = storeOn(s3.endpoint);
    await put(store);
    expect((await storeLarge(store, body)).provenBy).toBe("checksum");
  });

  test("whose completion answers without an ETag is what its parts are", async () => {
    await using s3 = await startFaultyS3();
    const store = storeOn(s3.endpoint);
    const done = '<?xml version="1.0"?><CompleteMultipartUploadResult></CompleteMultipartUploadResult>';
    s3.checks = "hash";
    s3.completion = done;
    expect((await storeLarge(store, body)).provenBy).toBe("checksum");
  });

  test("goes in parts where an attempt has failed before, and where its digest is not known", async () => {
    await using s3 = await startFaultyS3();
    const store = storeOn(s3.endpoint);
    for (const upload of [
      await openKnown(store, body, { isRepeated: true }),
      await store.open(REF, { contentType: "", size: LARGE, signal: never, onOpen: () => Promise.resolve() }),
    ]) {
      await writeAll(upload, body);
      expect((await upload.commit()).provenBy).toBe("checksum");
    }
    expect(s3.calls.filter(isWhole)).toEqual([]);
    const completion = s3.calls.findLast(({ method }) => method === "POST");
    expect(completion?.query.has("uploadId")).toBe(true);
  });

  test.each(["all", "hash", "none"] as const)(
    "that is damaged in a part is sent again, or fails (%s)",
    async (checks) => {
      await using s3 = await startFaultyS3();
      s3.checks = checks;
      const store = storeOn(s3.endpoint);
      await storeLarge(store, body);
      let times = 1;
      s3.corruption = (part) => (part.byteLength > MIB && times-- > 0 ? flipped(part) : part);
      const isStreamed = checks === "all";
      if (isStreamed) expect((await failureOf(storeLarge(store, body))).code).toBe("UPLOAD_CORRUPT");
      else expect((await storeLarge(store, body)).provenBy).toBe("checksum");
      expect(digest(s3.objects.get("a/b")?.body)).toBe(digest(body));
    },
  );

  test.each(["hash", "none"] as const)("whose parts are damaged each time is UPLOAD_CORRUPT (%s)", async (checks) => {
    await using s3 = await startFaultyS3();
    keepOther(s3, checks, (part) => (part.byteLength > MIB ? flipped(part) : part));
    const failure = await failureOf(storeLarge(storeOn(s3.endpoint), body));
    expect(failure.code).toBe("UPLOAD_CORRUPT");
    expect([s3.objects.size, s3.uploads.size]).toEqual([0, 0]);
  });

  test("that is streamed is not stored where the server computed another SHA-256, though its size is right", async () => {
    await using s3 = await startFaultyS3();
    const store = storeOn(s3.endpoint);
    await storeLarge(store, body);
    s3.answerHeaders = { "x-amz-checksum-sha256": Buffer.alloc(32).toString("base64") };
    const failure = await failureOf(storeLarge(store, body));
    expect(failure.code).toBe("UPLOAD_CORRUPT");
    expect(s3.objects.size).toBe(0);
  });

  test.each(["before its last bytes", "before its end"])(
    "whose origin pauses %s until S3 closes the upload",
    async (when) => {
      await using s3 = await startFaultyS3();
      let now = 0;
      const store = storeOn(s3.endpoint, { now: () => now });
      await storeLarge(store, body);
      s3.faultFor = (call) => (isWhole(call) ? { kind: "reset" } : undefined);
      const upload = await openKnown(store, body);
      if (when === "before its end") await writeAll(upload, body.subarray(0, -1));
      else await upload.write(body.subarray(0, MIB));
      now += 20_000;
      const rest = when === "before its end" ? body.subarray(-1) : body.subarray(MIB);
      const failure = await failureOf(writeAll(upload, rest).then(() => upload.commit()));
      expect(failure.code).toBe("UPLOAD_REJECTED");
    },
  );

  test("whose origin pauses until S3 closes the upload spends an attempt, and says why", async () => {
    await using s3 = await startFaultyS3();
    let now = 0;
    const store = storeOn(s3.endpoint, { now: () => now });
    await storeLarge(store, body);
    const closed = "<Error><Code>RequestTimeout</Code></Error>";
    s3.faultFor = (call) => (isWhole(call) ? { kind: "answer", status: 400, body: closed, early: true } : undefined);
    const upload = await openKnown(store, body);
    await upload.write(body.subarray(0, MIB));
    now += 20_000;
    const failure = await failureOf(writeAll(upload, body.subarray(MIB)).then(() => upload.commit()));
    expect([failure.code, failure.class]).toEqual(["UPLOAD_REJECTED", "rejected"]);
    expect(failure.message).toContain("the origin paused for 20 s");
  });
});

describe("with a checksum that the configuration names", () => {
  test.each([
    ["sha256", ["x-amz-checksum-sha256"]],
    ["md5", ["content-md5"]],
    ["none", []],
  ] as const)("%s sends %j, and no other is tried", async (checksum, names) => {
    await using s3 = await startFaultyS3();
    const store = storeOn(s3.endpoint, { checksum });
    s3.etagOf = () => (checksum === "none" ? '"0123456789abcdef0123456789abcdef"' : undefined);
    expect((await put(store)).provenBy).toBe(checksum === "sha256" ? "checksum" : "size");
    expect(headersOf(s3.calls[0] as S3Call)).toEqual([...names]);
    s3.faultFor = () => ({ kind: "answer", status: 501 });
    const before = s3.calls.length;
    await failureOf(put(store));
    expect(s3.calls.length).toBe(before + 1);
  });
});
