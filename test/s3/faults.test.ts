import { describe, expect, test } from "bun:test";
import { Failure, type FailureCode } from "../../src/jobs/failure.ts";
import type { Upload } from "../../src/jobs/object-store.ts";
import { createS3Store, type S3StoreOptions } from "../../src/s3/store.ts";
import { type FaultyS3, startFaultyS3 } from "../support/faulty-s3.ts";
import type { S3Call } from "../support/memory-s3.ts";
import { digest, pattern } from "../support/pattern.ts";
import { failureOf } from "../support/rejection.ts";

const never = new AbortController().signal;
const MIB = 1024 * 1024;
const PART = 8 * MIB;
const REF = { bucket: "artifacts", key: "a/b" };
const SECRET = "wJalrXUtnFEMI/K7MDENG";

function storeOn(endpoint: string, options: Partial<S3StoreOptions> = {}) {
  return createS3Store({
    endpoint,
    region: "us-east-1",
    addressing: "path",
    credentials: { accessKeyId: "AKID", secretAccessKey: SECRET },
    now: Date.now,
    random: () => 0,
    wait: () => Promise.resolve(),
    ...options,
  });
}

const put = (store: ReturnType<typeof storeOn>, bytes = 100, signal = never) =>
  store.put(REF, pattern(bytes), { contentType: "x/y", signal });
const open = (store: ReturnType<typeof storeOn>, size?: number, signal = never) =>
  store.open(REF, {
    contentType: "x/y",
    signal,
    onOpen: () => Promise.resolve(),
    ...(size === undefined ? {} : { size }),
  });

async function writeAll(upload: Upload, body: Uint8Array): Promise<void> {
  for (let from = 0; from < body.byteLength; from += MIB) await upload.write(body.subarray(from, from + MIB));
}

const isPut = (call: S3Call) => call.method === "PUT";
const isCreation = (call: S3Call) => call.method === "POST" && call.query.has("uploads");
const isCompletion = (call: S3Call) => call.method === "POST" && call.query.has("uploadId");

/** Lets a fault happen to the first `times` requests that match. */
function failFirst(
  s3: FaultyS3,
  times: number,
  matches: (call: S3Call) => boolean,
  fault: ReturnType<FaultyS3["faultFor"]>,
) {
  let left = times;
  s3.faultFor = (call) => (matches(call) && left-- > 0 ? fault : undefined);
}

describe("an answer of S3", () => {
  const rows: readonly [status: number, s3Code: string, code: FailureCode, tries: number][] = [
    [403, "AccessDenied", "UPLOAD_ACCESS_DENIED", 1],
    [403, "SignatureDoesNotMatch", "UPLOAD_ACCESS_DENIED", 1],
    [403, "InvalidAccessKeyId", "UPLOAD_ACCESS_DENIED", 1],
    [403, "RequestTimeTooSkewed", "UPLOAD_ACCESS_DENIED", 1],
    [403, "", "UPLOAD_ACCESS_DENIED", 1],
    [401, "", "UPLOAD_ACCESS_DENIED", 1],
    [400, "ExpiredToken", "UPLOAD_ACCESS_DENIED", 1],
    [404, "NoSuchBucket", "UPLOAD_NO_SUCH_BUCKET", 1],
    [503, "SlowDown", "UPLOAD_THROTTLED", 3],
    [503, "", "UPLOAD_THROTTLED", 3],
    [429, "TooManyRequests", "UPLOAD_THROTTLED", 3],
    [400, "RequestTimeout", "UPLOAD_TIMEOUT", 1],
    [507, "", "UPLOAD_DISK_FULL", 1],
    [507, "XMinioStorageFull", "UPLOAD_DISK_FULL", 1],
    [403, "QuotaExceeded", "UPLOAD_DISK_FULL", 1],
    [500, "InternalError", "UPLOAD_UNAVAILABLE", 3],
    [502, "", "UPLOAD_UNAVAILABLE", 3],
    [501, "NotImplemented", "UPLOAD_UNAVAILABLE", 1],
    [400, "BadDigest", "UPLOAD_UNAVAILABLE", 1],
    [307, "TemporaryRedirect", "UPLOAD_UNAVAILABLE", 1],
    [400, "KeyTooLongError", "HANDLER_ERROR", 1],
    [400, "EntityTooLarge", "DOWNLOAD_TOO_LARGE", 1],
  ];
  for (const [status, s3Code, code, tries] of rows) {
    test(`of ${status} ${s3Code} is ${code} after ${tries} ${tries === 1 ? "try" : "tries"}`, async () => {
      await using s3 = await startFaultyS3();
      const body = `<?xml version="1.0"?><Error><Code>${s3Code}</Code><Message>signature ${SECRET}</Message></Error>`;
      s3.faultFor = () => ({ kind: "answer", status, body: s3Code === "" ? "" : body });
      const failure = await failureOf(put(storeOn(s3.endpoint)));
      expect(failure.code).toBe(code);
      expect(s3.calls).toHaveLength(tries);
      expect(failure.message).toContain(`status ${status}`);
      expect(failure.message).toContain(s3Code);
      expect(failure.message).toContain("bucket artifacts");
      expect(failure.message).not.toContain(SECRET);
    });
  }

  test("that says what to do about it says it to the operator", async () => {
    await using s3 = await startFaultyS3();
    const body = "<Error><Code>RequestTimeTooSkewed</Code></Error>";
    s3.faultFor = () => ({ kind: "answer", status: 403, body });
    expect((await failureOf(put(storeOn(s3.endpoint)))).message).toEndWith("set this machine's clock");
  });

  test("that is no HTTP is UPLOAD_UNAVAILABLE", async () => {
    using server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket) => void socket.end("SSH-2.0-OpenSSH\r\n\r\n") },
    });
    const failure = await failureOf(put(storeOn(`http://127.0.0.1:${server.port}`)));
    expect(failure.code).toBe("UPLOAD_UNAVAILABLE");
    expect(failure.message).toContain(`127.0.0.1:${server.port}`);
  });

  test("that never ends is not read for ever", async () => {
    await using s3 = await startFaultyS3();
    s3.faultFor = () => ({ kind: "answer", status: 200, body: "x".repeat(17 * MIB) });
    const failure = await failureOf(Array.fromAsync(storeOn(s3.endpoint).list("artifacts", "", never)));
    expect(failure.code).toBe("UPLOAD_UNAVAILABLE");
  });
});

describe("a put", () => {
  test("to a closed port is UPLOAD_UNAVAILABLE", async () => {
    const s3 = await startFaultyS3();
    await s3[Symbol.asyncDispose]();
    const failure = await failureOf(put(storeOn(s3.endpoint)));
    expect(failure.code).toBe("UPLOAD_UNAVAILABLE");
    expect(failure.message).toContain("ECONNREFUSED");
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

  test("of a long body arrives whole, on a connection of its own", async () => {
    await using s3 = await startFaultyS3();
    await put(storeOn(s3.endpoint), 5 * MIB + 1);
    expect(digest(s3.objects.get("a/b")?.body)).toBe(digest(pattern(5 * MIB + 1)));
    expect(s3.calls[0]?.headers.get("transfer-encoding")).toBeNull();
  });
});

describe("a streaming PUT", () => {
  const size = 3 * MIB;

  test("has sent all but its last chunk before the commit, with its length in the head", async () => {
    await using s3 = await startFaultyS3();
    const upload = await open(storeOn(s3.endpoint), size);
    await writeAll(upload, pattern(size));
    expect(s3.objects.size).toBe(0);
    expect(s3.calls[0]?.headers.get("content-length")).toBe(String(size));
    await upload.commit();
    expect(digest(s3.objects.get("a/b")?.body)).toBe(digest(pattern(size)));
    expect(s3.calls).toHaveLength(1);
  });

  test("that is aborted closes its connection, and the server never has the whole body", async () => {
    await using s3 = await startFaultyS3();
    const upload = await open(storeOn(s3.endpoint), size);
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
    const upload = await open(storeOn(s3.endpoint), 50 * MIB);
    const failure = await failureOf(writeAll(upload, pattern(50 * MIB)));
    expect(failure.code).toBe("UPLOAD_ACCESS_DENIED");
    expect((await failureOf(upload.commit())).code).toBe("UPLOAD_ACCESS_DENIED");
  });

  test("into a server that does not read takes a few MiB and is then UPLOAD_TIMEOUT", async () => {
    await using s3 = await startFaultyS3();
    s3.faultFor = () => ({ kind: "stall" });
    const upload = await open(storeOn(s3.endpoint, { timeoutMs: 50 }), 100 * MIB);
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

  test("whose origin is slower than the deadline goes on all the same", async () => {
    await using s3 = await startFaultyS3();
    const store = storeOn(s3.endpoint, { timeoutMs: 40 });
    const arrived = s3.arrival(isPut);
    const upload = await open(store, size);
    await writeAll(upload, pattern(size).subarray(0, 2 * MIB));
    await arrived;
    s3.faultFor = () => ({ kind: "hang" });
    // Began later, with the same deadline: when it is over, so would be the other.
    expect((await failureOf(put(store))).code).toBe("UPLOAD_TIMEOUT");
    await writeAll(upload, pattern(size).subarray(2 * MIB));
    expect((await upload.commit()).bytes).toBe(size);
  });

  test("whose answer got lost is committed if its object is there", async () => {
    await using s3 = await startFaultyS3();
    s3.faultFor = (call) => (isPut(call) ? { kind: "reset", done: true } : undefined);
    const upload = await open(storeOn(s3.endpoint), size);
    await writeAll(upload, pattern(size));
    const stored = await upload.commit();
    expect(stored).toEqual({ bytes: size, etag: new Bun.CryptoHasher("md5").update(pattern(size)).digest("hex") });
  });

  test("whose answer got lost has failed if only an older object is there, even of the same size", async () => {
    await using s3 = await startFaultyS3();
    const store = storeOn(s3.endpoint);
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
    const upload = await open(storeOn(s3.endpoint), size);
    await writeAll(upload, pattern(size));
    expect((await failureOf(upload.commit())).code).toBe("UPLOAD_UNAVAILABLE");
    expect(s3.objects.size).toBe(0);
  });

  test("that is cancelled while its answer is awaited ends with the reason, and is withdrawn", async () => {
    await using s3 = await startFaultyS3();
    const controller = new AbortController();
    const upload = await open(storeOn(s3.endpoint), size, controller.signal);
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

describe("an upload in parts", () => {
  const body = pattern(2 * PART + 1);

  test("sends a part again that failed twice", async () => {
    await using s3 = await startFaultyS3();
    failFirst(s3, 2, (call) => call.query.get("partNumber") === "2", { kind: "answer", status: 500 });
    const upload = await open(storeOn(s3.endpoint));
    await writeAll(upload, body);
    await upload.commit();
    expect(digest(s3.objects.get("a/b")?.body)).toBe(digest(body));
    expect(s3.uploads.size).toBe(0);
  });

  test("whose part fails for good fails, and no part stays", async () => {
    await using s3 = await startFaultyS3();
    s3.faultFor = (call) => (call.query.has("partNumber") ? { kind: "answer", status: 503 } : undefined);
    const upload = await open(storeOn(s3.endpoint));
    const failure = await failureOf(writeAll(upload, body).then(() => upload.commit()));
    expect(failure.code).toBe("UPLOAD_THROTTLED");
    await upload.abort();
    expect(s3.uploads.size).toBe(0);
    expect(s3.objects.size).toBe(0);
  });

  test("whose completion answers 200 with an error inside is tried again, and then has failed", async () => {
    await using s3 = await startFaultyS3();
    const inside = { kind: "answer", status: 200, body: "<Error><Code>InternalError</Code></Error>" } as const;
    failFirst(s3, 1, isCompletion, inside);
    const lucky = await open(storeOn(s3.endpoint));
    await writeAll(lucky, body);
    expect((await lucky.commit()).bytes).toBe(body.byteLength);

    await storeOn(s3.endpoint).remove(REF, never);
    s3.faultFor = (call) => (isCompletion(call) ? inside : undefined);
    const unlucky = await open(storeOn(s3.endpoint));
    await writeAll(unlucky, body);
    const failure = await failureOf(unlucky.commit());
    expect(failure.code).toBe("UPLOAD_UNAVAILABLE");
    expect(failure.message).toContain("InternalError");
    expect(s3.objects.size).toBe(0);
    expect(s3.uploads.size).toBe(0);
  });

  test("whose completion got lost on the way back is committed if its object is there", async () => {
    await using s3 = await startFaultyS3();
    failFirst(s3, 1, isCompletion, { kind: "reset", done: true });
    const upload = await open(storeOn(s3.endpoint));
    await writeAll(upload, body);
    expect((await upload.commit()).bytes).toBe(body.byteLength);
    expect(digest(s3.objects.get("a/b")?.body)).toBe(digest(body));
  });

  test("whose completion got lost on the way there is completed by another try", async () => {
    await using s3 = await startFaultyS3();
    failFirst(s3, 1, isCompletion, { kind: "reset" });
    const upload = await open(storeOn(s3.endpoint));
    await writeAll(upload, body);
    await upload.commit();
    expect(digest(s3.objects.get("a/b")?.body)).toBe(digest(body));
    expect(s3.uploads.size).toBe(0);
  });

  test("whose creation got lost on the way back leaves no upload open, committed or aborted", async () => {
    await using s3 = await startFaultyS3();
    for (const ending of ["commit", "abort"] as const) {
      failFirst(s3, 1, isCreation, { kind: "reset", done: true });
      const upload = await open(storeOn(s3.endpoint));
      await writeAll(upload, body);
      expect(s3.uploads.size).toBe(2);
      await upload[ending]();
      expect(s3.uploads.size).toBe(0);
    }
  });

  test("that is aborted while a part hangs ends at once, and nothing of it stays", async () => {
    await using s3 = await startFaultyS3();
    s3.faultFor = (call) => (call.query.has("partNumber") ? { kind: "hang" } : undefined);
    const upload = await open(storeOn(s3.endpoint));
    const writing = writeAll(upload, body).catch((error: unknown) => error);
    await s3.arrival((call) => call.query.has("partNumber"));
    await upload.abort();
    expect(await writing).toBeInstanceOf(Failure);
    expect(s3.uploads.size).toBe(0);
  });

  test("is told to onOpen with its id before its first part goes out", async () => {
    await using s3 = await startFaultyS3();
    const told: string[] = [];
    const upload = await storeOn(s3.endpoint).open(REF, {
      contentType: "x/y",
      signal: never,
      onOpen: async ({ uploadId }) => {
        expect(s3.calls.filter(isPut)).toHaveLength(0);
        told.push(uploadId);
      },
    });
    expect(told).toEqual([""]);
    await writeAll(upload, body);
    expect(told).toEqual(["", "upload-1"]);
    await upload.commit();
  });

  test("that fits into one part is a single PUT", async () => {
    await using s3 = await startFaultyS3();
    const upload = await open(storeOn(s3.endpoint));
    await writeAll(upload, pattern(PART));
    await upload.commit();
    expect(s3.calls.map((call) => call.method)).toEqual(["PUT"]);
  });
});

describe("a read", () => {
  test("of a body that is cut off fails, and is not taken for the whole", async () => {
    await using s3 = await startFaultyS3();
    const store = storeOn(s3.endpoint);
    await put(store, MIB);
    s3.faultFor = () => ({ kind: "cut" });
    const stream = await store.read(REF, never);
    expect((await failureOf(new Response(stream).bytes())).code).toBe("UPLOAD_UNAVAILABLE");
  });

  test("ends with the reason of its signal", async () => {
    await using s3 = await startFaultyS3();
    const store = storeOn(s3.endpoint);
    await put(store, 20 * MIB);
    const controller = new AbortController();
    const reader = (await store.read(REF, controller.signal))?.getReader();
    await reader?.read();
    const reason = new Error("cancelled");
    controller.abort(reason);
    const rest = (async () => {
      while ((await reader?.read())?.done === false);
    })();
    expect(await rest.catch((error: unknown) => error)).toBe(reason);
  });
});

describe("a check", () => {
  test("tells a missing bucket from one that is forbidden", async () => {
    await using s3 = await startFaultyS3();
    const store = storeOn(s3.endpoint);
    await store.check("artifacts", never);
    s3.faultFor = () => ({ kind: "answer", status: 404 });
    expect((await failureOf(store.check("artifacts", never))).code).toBe("UPLOAD_NO_SUCH_BUCKET");
    s3.faultFor = () => ({ kind: "answer", status: 403 });
    expect((await failureOf(store.check("artifacts", never))).code).toBe("UPLOAD_ACCESS_DENIED");
  });
});

test("virtual addressing puts the bucket into the host, path addressing into the path", async () => {
  await using s3 = await startFaultyS3();
  const port = new URL(s3.endpoint).port;
  await put(storeOn(`http://localhost:${port}`));
  expect(s3.calls.at(-1)?.headers.get("host")).toBe(`localhost:${port}`);
  const failure = await failureOf(put(storeOn(`http://invalid:${port}`, { addressing: "virtual" })));
  expect(failure.code).toBe("UPLOAD_UNAVAILABLE");
});

test("objects are named by s3 URLs", () => {
  expect(storeOn("http://127.0.0.1:1").urlOf({ bucket: "b", key: "x/y z" })).toBe("s3://b/x/y z");
});
