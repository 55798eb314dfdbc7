import { describe, expect, test } from "bun:test";
import { Failure } from "../../src/jobs/failure.ts";
import { type FaultyS3, startFaultyS3 } from "../support/faulty-s3.ts";
import { failFirst, isPut, never, open, PART, REF, storeOn, writeAll } from "../support/faulty-store.ts";
import type { S3Call } from "../support/memory-s3.ts";
import { digest, pattern } from "../support/pattern.ts";
import { failureOf, rejectionOf } from "../support/rejection.ts";

/** MD5 alone: nothing is asked of the server before. */
const storeOf = (s3: FaultyS3) => storeOn(s3.endpoint, { checksum: "md5" });
const isCreation = (call: S3Call) => call.method === "POST" && call.query.has("uploads");
const isCompletion = (call: S3Call) => call.method === "POST" && call.query.has("uploadId");

describe("an upload in parts", () => {
  const body = pattern(2 * PART + 1);

  test.each(["all", "hash", "unsupported", "none"] as const)(
    "names at its completion the checksums that a server returned, and no others: %s",
    async (checks) => {
      await using s3 = await startFaultyS3();
      s3.checks = checks;
      const upload = await open(storeOn(s3.endpoint));
      await writeAll(upload, body);
      expect((await upload.commit()).bytes).toBe(body.byteLength);
      expect(digest(s3.objects.get("a/b")?.body)).toBe(digest(body));
    },
  );

  test("sends a part again that failed twice", async () => {
    await using s3 = await startFaultyS3();
    failFirst(s3, 2, (call) => call.query.get("partNumber") === "2", { kind: "answer", status: 500 });
    const upload = await open(storeOf(s3));
    await writeAll(upload, body);
    await upload.commit();
    expect(digest(s3.objects.get("a/b")?.body)).toBe(digest(body));
    expect(s3.uploads.size).toBe(0);
  });

  test("whose part fails for good fails, and no part stays", async () => {
    await using s3 = await startFaultyS3();
    s3.faultFor = (call) => (call.query.has("partNumber") ? { kind: "answer", status: 503 } : undefined);
    const upload = await open(storeOf(s3));
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
    const lucky = await open(storeOf(s3));
    await writeAll(lucky, body);
    expect((await lucky.commit()).bytes).toBe(body.byteLength);

    await storeOf(s3).remove(REF, never);
    s3.faultFor = (call) => (isCompletion(call) ? inside : undefined);
    const unlucky = await open(storeOf(s3));
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
    const upload = await open(storeOf(s3));
    await writeAll(upload, body);
    expect((await upload.commit()).bytes).toBe(body.byteLength);
    expect(digest(s3.objects.get("a/b")?.body)).toBe(digest(body));
  });

  test("whose completion got lost on the way there is completed by another try", async () => {
    await using s3 = await startFaultyS3();
    failFirst(s3, 1, isCompletion, { kind: "reset" });
    const upload = await open(storeOf(s3));
    await writeAll(upload, body);
    await upload.commit();
    expect(digest(s3.objects.get("a/b")?.body)).toBe(digest(body));
    expect(s3.uploads.size).toBe(0);
  });

  test("whose creation got lost on the way back leaves no upload open, committed or aborted", async () => {
    await using s3 = await startFaultyS3();
    for (const ending of ["commit", "abort"] as const) {
      failFirst(s3, 1, isCreation, { kind: "reset", done: true });
      const upload = await open(storeOf(s3));
      await writeAll(upload, body);
      expect(s3.uploads.size).toBe(2);
      await upload[ending]();
      expect(s3.uploads.size).toBe(0);
    }
  });

  test("that is aborted while a part hangs ends at once, and nothing of it stays", async () => {
    await using s3 = await startFaultyS3();
    s3.faultFor = (call) => (call.query.has("partNumber") ? { kind: "hang" } : undefined);
    const upload = await open(storeOf(s3));
    const writing = writeAll(upload, body).catch((error: unknown) => error);
    await s3.arrival((call) => call.query.has("partNumber"));
    await upload.abort();
    expect(await writing).toBeInstanceOf(Failure);
    expect(s3.uploads.size).toBe(0);
  });

  test("is told to onOpen with its id before its first part goes out", async () => {
    await using s3 = await startFaultyS3();
    const told: string[] = [];
    const upload = await storeOf(s3).open(REF, {
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

  test("whose id cannot be recorded sends no part, stays failed, and leaves nothing", async () => {
    await using s3 = await startFaultyS3();
    const reason = new Error("queue.db is full");
    const onOpen = ({ uploadId }: { uploadId: string }) =>
      uploadId === "" ? Promise.resolve() : Promise.reject(reason);
    const upload = await storeOf(s3).open(REF, { contentType: "x/y", signal: never, onOpen });
    expect(await rejectionOf(writeAll(upload, body))).toBe(reason);
    expect(await rejectionOf(upload.write(body))).toBe(reason);
    expect(await rejectionOf(upload.commit())).toBe(reason);
    expect(s3.calls.filter(isPut)).toEqual([]);
    expect(s3.uploads.size).toBe(0);
  });

  test("that fits into one part is a single PUT", async () => {
    await using s3 = await startFaultyS3();
    const upload = await open(storeOf(s3));
    await writeAll(upload, pattern(PART));
    await upload.commit();
    expect(s3.calls.map((call) => call.method)).toEqual(["PUT"]);
  });
});
