import { describe, expect, test } from "bun:test";
import { getEventListeners } from "node:events";
import { Failure } from "../../src/jobs/failure.ts";
import { startFaultyS3 } from "../support/faulty-s3.ts";
import { failFirst, isPut, MIB, never, put, storeOn } from "../support/faulty-store.ts";
import { digest, pattern } from "../support/pattern.ts";
import { failureOf } from "../support/rejection.ts";

describe("a put", () => {
  test("to a closed port is UPLOAD_UNAVAILABLE", async () => {
    const s3 = await startFaultyS3();
    await s3[Symbol.asyncDispose]();
    const failure = await failureOf(put(storeOn(s3.endpoint)));
    expect(failure.code).toBe("UPLOAD_UNAVAILABLE");
    expect(failure.message).toContain("ECONNREFUSED");
  });

  test("to a name that cannot be resolved is UPLOAD_UNAVAILABLE", async () => {
    const resolve = () => Promise.reject(new Failure("DOWNLOAD_DNS_NOT_FOUND", "s3.test does not exist"));
    const failure = await failureOf(put(storeOn("http://s3.test", { resolve })));
    expect([failure.code, failure.message]).toEqual([
      "UPLOAD_UNAVAILABLE",
      "S3 at s3.test gave no answer to PUT in bucket artifacts: s3.test does not exist",
    ]);
  });

  test("survives two resets and a moment's overload, with longer and longer breaks", async () => {
    await using s3 = await startFaultyS3();
    const breaks: number[] = [];
    const store = storeOn(s3.endpoint, { wait: async (ms) => void breaks.push(ms) });
    failFirst(s3, 2, isPut, { kind: "reset" });
    await put(store);
    failFirst(s3, 1, isPut, { kind: "answer", status: 503 });
    await put(store);
    expect(digest(s3.objects.get("a/b")?.body)).toBe(digest(pattern(100)));
    expect(breaks.at(-1)).toBe(100);
  });

  test("does not wait for a hundred others that are slow", async () => {
    await using s3 = await startFaultyS3();
    const controller = new AbortController();
    const store = storeOn(s3.endpoint);
    let arrived = 0;
    const all = Promise.withResolvers<void>();
    s3.faultFor = (request) => {
      if (isPut(request) && ++arrived === 101) all.resolve();
      return { kind: "hang" };
    };
    const puts = Array.from({ length: 101 }, () => put(store, 100, controller.signal).catch(() => {}));
    await all.promise;
    controller.abort(new Error("the end"));
    await Promise.all(puts);
  });

  test("that gets no answer is UPLOAD_TIMEOUT, and its connection is closed", async () => {
    await using s3 = await startFaultyS3();
    for (const bytes of [100, 3 * MIB]) {
      s3.faultFor = () => ({ kind: "hang" });
      const failure = await failureOf(put(storeOn(s3.endpoint, { timeoutMs: 30 }), bytes));
      expect(failure.code).toBe("UPLOAD_TIMEOUT");
      expect(failure.message).toContain("30 ms");
      await s3.idle();
    }
  });

  test("that hangs ends with the reason of its signal at once, and its connection is closed", async () => {
    await using s3 = await startFaultyS3();
    s3.faultFor = () => ({ kind: "hang" });
    const controller = new AbortController();
    const arrived = s3.arrival(isPut);
    const attempt = put(storeOn(s3.endpoint), 100, controller.signal).catch((error: unknown) => error);
    await arrived;
    const reason = new Error("shutting down");
    controller.abort(reason);
    expect(await attempt).toBe(reason);
    await s3.idle();
  });

  test("leaves nothing behind on the signal it was given, however it ends", async () => {
    await using s3 = await startFaultyS3();
    const { signal } = new AbortController();
    const store = storeOn(s3.endpoint, { timeoutMs: 20 });
    await put(store, 100, signal);
    s3.faultFor = () => ({ kind: "hang" });
    await failureOf(put(store, 100, signal));
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  test("waits where 24 are under way, goes when one ends, and leaves the line when it is aborted", async () => {
    await using s3 = await startFaultyS3();
    const store = storeOn(s3.endpoint);
    s3.faultFor = () => ({ kind: "hang" });
    const controllers = Array.from({ length: 24 }, () => new AbortController());
    const hanging = controllers.map((controller) => put(store, 1, controller.signal).catch(() => "aborted"));
    while (s3.calls.length < 24) await s3.arrival(isPut);
    s3.faultFor = () => undefined;
    const impatient = new AbortController();
    const leaving = put(store, 1, impatient.signal).catch((error: unknown) => error);
    const waiting = put(store, 2);
    impatient.abort("no patience");
    expect(await leaving).toBe("no patience");
    expect(s3.calls).toHaveLength(24);
    controllers[0]?.abort();
    expect((await waiting).bytes).toBe(2);
    for (const controller of controllers) controller.abort();
    await Promise.all(hanging);
    for (let i = 0; i < 30; i++) await put(store);
  });

  test("tries a bucket with a small object that is gone afterwards, though configured to lock objects", async () => {
    await using s3 = await startFaultyS3();
    const all = { "x-amz-object-lock-mode": "GOVERNANCE", "x-amz-acl": "private" };
    const store = storeOn(s3.endpoint, { objectHeaders: { all, byJobType: new Map() } });
    await store.tryUpload?.("artifacts", never);
    expect(s3.calls.map(({ method, key }) => `${method} ${key}`)).toEqual([
      "PUT .fetchbox-check/upload",
      "DELETE .fetchbox-check/upload",
    ]);
    expect([...(s3.calls[0]?.headers.keys() ?? [])].filter((name) => name in all)).toEqual(["x-amz-acl"]);
    expect(s3.objects.size).toBe(0);
    s3.faultFor = () => ({ kind: "answer", status: 507 });
    expect((await failureOf(store.tryUpload?.("artifacts", never) ?? Promise.resolve())).code).toBe("UPLOAD_DISK_FULL");
  });

  test("of a long body arrives whole, on a kept connection", async () => {
    await using s3 = await startFaultyS3();
    const store = storeOn(s3.endpoint);
    await put(store);
    await put(store);
    await put(store, 5 * MIB + 1);
    expect(digest(s3.objects.get("a/b")?.body)).toBe(digest(pattern(5 * MIB + 1)));
    expect(s3.calls[2]?.headers.get("transfer-encoding")).toBeNull();
    expect(s3.calls.map((call) => call.connection)).toEqual([1, 1, 1]);
  });
});
