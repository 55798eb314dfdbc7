import { describe, expect, test } from "bun:test";
import { type FaultyS3, startFaultyS3 } from "../support/faulty-s3.ts";
import { isPut, MIB, open, put, storeOn, writeAll } from "../support/faulty-store.ts";
import { digest, pattern } from "../support/pattern.ts";
import { failureOf } from "../support/rejection.ts";

/** Without checksums every body of known size is streamed, and its size is asked after. */
const storeOf = (s3: FaultyS3, options = {}) => storeOn(s3.endpoint, { checksum: "none", ...options });

describe("a streaming PUT", () => {
  const size = 3 * MIB;

  test("has sent all but its last chunk before the commit, with its length in the head", async () => {
    await using s3 = await startFaultyS3();
    const arrived = s3.arrival(isPut);
    const upload = await open(storeOf(s3), size);
    await writeAll(upload, pattern(size));
    expect((await arrived).headers.get("content-length")).toBe(String(size));
    expect(s3.objects.size).toBe(0);
    await upload.commit();
    expect(digest(s3.objects.get("a/b")?.body)).toBe(digest(pattern(size)));
    expect(s3.calls.map(({ method }) => method)).toEqual(["PUT", "HEAD"]);
  });

  test("that is aborted closes its connection, and the server never has the whole body", async () => {
    await using s3 = await startFaultyS3();
    const upload = await open(storeOf(s3), size);
    await writeAll(upload, pattern(size));
    await upload.abort();
    await s3.idle();
    expect(s3.objects.size).toBe(0);
    expect(s3.calls).toHaveLength(1);
  });

  test("that is refused early fails with what S3 said", async () => {
    await using s3 = await startFaultyS3();
    const body = "<Error><Code>AccessDenied</Code></Error>";
    s3.faultFor = () => ({ kind: "answer", status: 403, body, early: true });
    const upload = await open(storeOf(s3), 50 * MIB);
    const failure = await failureOf(writeAll(upload, pattern(50 * MIB)));
    expect(failure.code).toBe("UPLOAD_ACCESS_DENIED");
    expect((await failureOf(upload.commit())).code).toBe("UPLOAD_ACCESS_DENIED");
  });

  test("into a server that does not read takes a few MiB and is then UPLOAD_TIMEOUT", async () => {
    await using s3 = await startFaultyS3();
    s3.faultFor = () => ({ kind: "stall" });
    const upload = await open(storeOf(s3, { timeoutMs: 50 }), 100 * MIB);
    let taken = 0;
    const chunk = pattern(64 * 1024);
    const writing = (async () => {
      for (; ; taken += chunk.byteLength) await upload.write(chunk);
    })();
    expect((await failureOf(writing)).code).toBe("UPLOAD_TIMEOUT");
    // Most of it lies in the kernel's socket buffers.
    expect(taken).toBeLessThan(12 * MIB);
    await upload.abort();
    await s3.idle();
  });

  test("whose origin is slower than the deadline, at first and later, goes on all the same", async () => {
    await using s3 = await startFaultyS3();
    s3.faultFor = (call) => (call.headers.get("content-length") === "100" ? { kind: "hang" } : undefined);
    const store = storeOf(s3, { timeoutMs: 150 });
    const upload = await open(store, size);
    // Begins later, with the same deadline: when it is over, so would be the other.
    const untilTooLate = async () => expect((await failureOf(put(store, 100))).code).toBe("UPLOAD_TIMEOUT");
    await untilTooLate();
    await writeAll(upload, pattern(size).subarray(0, 2 * MIB));
    await untilTooLate();
    await writeAll(upload, pattern(size).subarray(2 * MIB));
    await untilTooLate();
    expect((await upload.commit()).bytes).toBe(size);
  });

  test("whose answer got lost is committed if its object is there", async () => {
    await using s3 = await startFaultyS3();
    s3.faultFor = (call) => (isPut(call) ? { kind: "reset", done: true } : undefined);
    const upload = await open(storeOf(s3), size);
    await writeAll(upload, pattern(size));
    const stored = await upload.commit();
    expect(stored).toEqual({
      bytes: size,
      etag: new Bun.CryptoHasher("md5").update(pattern(size)).digest("hex"),
      provenBy: "size",
    });
  });

  test("whose answer got lost has failed if less of it is there, and is withdrawn", async () => {
    await using s3 = await startFaultyS3();
    s3.corruption = (body) => body.subarray(1);
    s3.faultFor = (call) => (isPut(call) ? { kind: "reset", done: true } : undefined);
    s3.checks = "none";
    const upload = await open(storeOf(s3), size);
    await writeAll(upload, pattern(size));
    expect((await failureOf(upload.commit())).code).toBe("UPLOAD_CORRUPT");
    expect(s3.objects.size).toBe(0);
  });

  test("whose answer got lost has failed if only an older object is there, even of the same size", async () => {
    await using s3 = await startFaultyS3();
    const store = storeOf(s3);
    await put(store, size);
    s3.faultFor = (call) => (isPut(call) ? { kind: "reset" } : undefined);
    const upload = await open(store, size);
    await writeAll(upload, pattern(size, 2));
    expect((await failureOf(upload.commit())).code).toBe("UPLOAD_UNAVAILABLE");
    expect(digest(s3.objects.get("a/b")?.body)).toBe(digest(pattern(size)));
  });

  test("that was reported as failed is withdrawn if its object is there", async () => {
    await using s3 = await startFaultyS3();
    let heads = 0;
    s3.faultFor = (call) => {
      if (isPut(call)) return { kind: "reset", done: true };
      return call.method === "HEAD" && heads++ === 0 ? { kind: "reset" } : undefined;
    };
    const upload = await open(storeOf(s3), size);
    await writeAll(upload, pattern(size));
    expect((await failureOf(upload.commit())).code).toBe("UPLOAD_UNAVAILABLE");
    expect(s3.objects.size).toBe(0);
  });

  test("that is cancelled while its answer is awaited ends with the reason, and is withdrawn", async () => {
    await using s3 = await startFaultyS3();
    const controller = new AbortController();
    const upload = await open(storeOf(s3), size, controller.signal);
    s3.faultFor = (call) => (isPut(call) ? { kind: "hang", done: true } : undefined);
    await writeAll(upload, pattern(size));
    const committing = upload.commit().catch((error: unknown) => error);
    while (s3.objects.size === 0) await new Promise(setImmediate);
    const reason = new Error("cancelled");
    controller.abort(reason);
    expect(await committing).toBe(reason);
    expect(s3.objects.size).toBe(0);
  });
});
