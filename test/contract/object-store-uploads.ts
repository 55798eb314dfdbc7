import { describe, expect, test } from "bun:test";
import { Failure } from "../../src/jobs/failure.ts";
import type { OpenUpload } from "../../src/jobs/object-store.ts";
import { digest, pattern } from "../support/pattern.ts";
import { failureOf, rejectionOf } from "../support/rejection.ts";
import { never, type ObjectBench } from "./object-bench.ts";

const MIB = 1024 * 1024;
const PART = 8 * MIB;

/** Ways an upload can go, by what is known beforehand and how long it becomes. */
const KINDS = [
  { kind: "short, of known size", bytes: 1000, isKnown: true },
  { kind: "long, of known size", bytes: 3 * MIB + 5, isKnown: true },
  { kind: "short, of unknown size", bytes: 1000, isKnown: false },
  { kind: "long, of unknown size", bytes: 2 * PART + 5, isKnown: false },
] as const;

/** An upload is all or nothing, however it ends. */
export function describeUploads(bench: ObjectBench): void {
  const { fresh, put, open, sized, readAll, writeAll } = bench;

  for (const { kind, bytes, isKnown } of KINDS) {
    describe(`an upload, ${kind},`, () => {
      const older = pattern(77, 5);
      const body = pattern(bytes, 6);

      test("is invisible until its commit, and then whole", async () => {
        const ref = fresh();
        await put(ref, older);
        const upload = await open(ref, sized(isKnown, bytes));
        expect(digest(await readAll(ref))).toBe(digest(older));
        await writeAll(upload, body);
        expect(digest(await readAll(ref))).toBe(digest(older));
        const stored = await upload.commit();
        expect(stored.bytes).toBe(bytes);
        expect(digest(await bench.harness.readBack(ref.key))).toBe(digest(body));
        expect(await bench.harness.leftovers()).toEqual([]);
      });

      test("leaves an older object as it was when it is aborted, and nothing else", async () => {
        const [replaced, created] = [fresh(), fresh()];
        await put(replaced, older);
        for (const ref of [replaced, created]) {
          const upload = await open(ref, sized(isKnown, bytes));
          await writeAll(upload, body);
          await upload.abort();
          await upload.abort();
          expect(await rejectionOf(upload.write(body))).toBeInstanceOf(Failure);
          expect(await rejectionOf(upload.commit())).toBeInstanceOf(Failure);
        }
        expect(digest(await readAll(replaced))).toBe(digest(older));
        expect(await bench.store.head(created, never)).toBeUndefined();
        expect(await bench.harness.leftovers()).toEqual([]);
      });

      test("ends with the reason of its signal, and leaves nothing", async () => {
        const ref = fresh();
        await put(ref, older);
        const controller = new AbortController();
        const upload = await open(ref, { ...sized(isKnown, bytes), signal: controller.signal });
        await writeAll(upload, body.subarray(0, bytes / 2));
        const reason = new Error("shutting down");
        controller.abort(reason);
        expect(await rejectionOf(upload.write(body.subarray(bytes / 2)))).toBe(reason);
        await upload.abort();
        expect(digest(await readAll(ref))).toBe(digest(older));
        expect(await bench.harness.leftovers()).toEqual([]);
      });

      test("does not commit once its signal has fired", async () => {
        const ref = fresh();
        const controller = new AbortController();
        const upload = await open(ref, { ...sized(isKnown, bytes), signal: controller.signal });
        await writeAll(upload, body);
        const reason = new Error("cancelled");
        controller.abort(reason);
        expect(await rejectionOf(upload.commit())).toBe(reason);
        expect(await bench.store.head(ref, never)).toBeUndefined();
        expect(await bench.harness.leftovers()).toEqual([]);
      });

      test("keeps its object when it is aborted after the commit", async () => {
        const ref = fresh();
        const upload = await open(ref, sized(isKnown, bytes));
        await writeAll(upload, body);
        await upload.commit();
        await upload.abort();
        expect(digest(await readAll(ref))).toBe(digest(body));
      });

      test("is cleaned up after a crash with what onOpen was told", async () => {
        const ref = fresh();
        const told: OpenUpload[] = [];
        const onOpen = async (upload: OpenUpload) => void told.push(upload);
        const upload = await open(ref, { ...sized(isKnown, bytes), onOpen });
        await writeAll(upload, body);
        expect(told.length).toBeGreaterThan(0);
        expect(told[0]).toMatchObject(ref);
        for (const open of told) await bench.store.abortUpload(open, never);
        for (const open of told) await bench.store.abortUpload(open, never);
        expect(await bench.harness.leftovers()).toEqual([]);
        await upload.abort();
        expect(await bench.store.head(ref, never)).toBeUndefined();
      });

      test("says of all that it opened when it is closed, by its commit or its abort", async () => {
        for (const isCommitted of [true, false]) {
          const opened: string[] = [];
          const closed: string[] = [];
          const upload = await open(fresh(), {
            ...sized(isKnown, bytes),
            onOpen: async ({ uploadId }) => void opened.push(uploadId),
            onClosed: (uploadId) => void closed.push(uploadId),
          });
          await writeAll(upload, body);
          await (isCommitted ? upload.commit() : upload.abort());
          expect(closed.toSorted()).toEqual(opened.toSorted());
        }
      });

      test("says that it may store its object before it can be seen, and not if it is aborted before", async () => {
        const begun: boolean[] = [];
        const onBegin = (mayStore: boolean) => void begun.push(mayStore);
        const aborted = await open(fresh(), { ...sized(isKnown, bytes), onBegin });
        await writeAll(aborted, body);
        await aborted.abort();
        expect(begun).toEqual([]);
        const committed = await open(fresh(), { ...sized(isKnown, bytes), onBegin });
        await writeAll(committed, body);
        await committed.commit();
        expect(begun).toEqual([true]);
      });

      test("gives its object a token where the backend stores late, and is removed by that alone", async () => {
        const ref = fresh();
        const upload = await open(ref, { ...sized(isKnown, bytes), token: "token-1" });
        await writeAll(upload, body);
        await upload.commit();
        expect(await bench.store.removeUploaded(ref, new Set(["token-2"]), never)).toBe(false);
        expect(await bench.store.head(ref, never)).toMatchObject({ bytes });
        const { storesLate } = bench.store;
        expect(await bench.store.removeUploaded(ref, new Set(["token-2", "token-1"]), never)).toBe(storesLate);
        expect((await bench.store.head(ref, never)) === undefined).toBe(storesLate);
        expect(await bench.store.removeUploaded(ref, new Set(["token-1"]), never)).toBe(false);
      });

      test("writes nothing where its intent cannot be recorded", async () => {
        const ref = fresh();
        const reason = new Error("queue.db is full");
        const onOpen = () => Promise.reject(reason);
        expect(await rejectionOf(open(ref, { ...sized(isKnown, bytes), onOpen }))).toBe(reason);
        expect(await bench.harness.leftovers()).toEqual([]);
      });
    });
  }

  describe("a declared size", () => {
    for (const size of [10, 2 * MIB, PART]) {
      test(`of ${size} that is not reached fails the commit and leaves nothing`, async () => {
        const ref = fresh();
        const upload = await open(ref, { size });
        await writeAll(upload, pattern(size - 1));
        const failure = await failureOf(upload.commit());
        expect(failure.code).toBe("DOWNLOAD_SIZE_MISMATCH");
        await upload.abort();
        expect(await bench.store.head(ref, never)).toBeUndefined();
        expect(await bench.harness.leftovers()).toEqual([]);
      });

      test(`of ${size} that is exceeded fails the write and leaves nothing`, async () => {
        const ref = fresh();
        const upload = await open(ref, { size });
        await writeAll(upload, pattern(size));
        const failure = await failureOf(upload.write(pattern(1)));
        expect(failure.code).toBe("DOWNLOAD_SIZE_MISMATCH");
        expect(await rejectionOf(upload.commit())).toBeInstanceOf(Failure);
        expect(await bench.store.head(ref, never)).toBeUndefined();
        expect(await bench.harness.leftovers()).toEqual([]);
      });
    }
  });
}
