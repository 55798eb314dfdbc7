import { describe, expect, test } from "bun:test";
import { digest, pattern } from "../support/pattern.ts";
import { rejectionOf } from "../support/rejection.ts";
import { never, type ObjectBench } from "./object-bench.ts";

const MIB = 1024 * 1024;
const TYPE = "application/octet-stream";

/** Objects among others: what is not there, removal, lists, writers at the same time, signals. */
export function describeNeighbours(bench: ObjectBench): void {
  const { refTo, fresh, freshFolder, put, open, readAll, writeAll, keysUnder } = bench;

  describe("what is not there", () => {
    test("is undefined to head and read, and removed without an error", async () => {
      const ref = fresh("missing/deep/down");
      expect(await bench.store.head(ref, never)).toBeUndefined();
      expect(await bench.store.read(ref, never)).toBeUndefined();
      await bench.store.remove(ref, never);
    });

    test("lists as nothing", async () => {
      expect(await keysUnder(fresh().key)).toEqual([]);
    });

    test("ends as an upload without an error", async () => {
      await bench.store.abortUpload({ ...fresh(), uploadId: "0b9c1d3e-0000-4000-8000-123456789abc" }, never);
      await bench.store.abortUpload({ ...fresh(), uploadId: "" }, never);
      await bench.store.abortUpload({ ...fresh(), uploadId: "../../etc" }, never);
    });

    test("is what a folder of objects is", async () => {
      const ref = fresh("folder/object");
      await put(ref, pattern(10));
      const folder = { bucket: ref.bucket, key: ref.key.slice(0, -"/object".length) };
      expect(await bench.store.head(folder, never)).toBeUndefined();
      expect(await bench.store.read(folder, never)).toBeUndefined();
      await bench.store.remove(folder, never);
      expect((await bench.store.head(ref, never))?.bytes).toBe(10);
    });
  });

  test("a removed object is gone, and its neighbours stay", async () => {
    const folder = freshFolder();
    const [one, two] = [refTo(`${folder}a`), refTo(`${folder}b`)];
    await put(one, pattern(1));
    await put(two, pattern(2));
    await bench.store.remove(one, never);
    expect(await bench.store.head(one, never)).toBeUndefined();
    expect(await keysUnder(refTo(folder).key)).toEqual([two.key]);
    await put(one, pattern(3));
    expect((await bench.store.head(one, never))?.bytes).toBe(3);
  });

  test("a list is in the order of UTF-8 bytes, and its prefix is text, not a folder", async () => {
    const names = ["a", "a!", "a.txt", "a0", "a1/x", "a1/y/z", "ab", "\uff5e", "\u{1f600}"];
    const folder = `${freshFolder()}list/`;
    await Promise.all(names.toReversed().map((key) => put(refTo(folder + key), pattern(3))));
    const all = names.map((key) => refTo(folder + key).key);
    expect(await keysUnder(refTo(folder).key)).toEqual(all);
    expect(await keysUnder(refTo(`${folder}a1`).key)).toEqual(all.filter((key) => key.includes("/list/a1")));
    expect(await keysUnder(refTo(`${folder}a1/`).key)).toHaveLength(2);
    expect(await keysUnder(refTo(`${folder}a1/y/z`).key)).toHaveLength(1);
    expect(await keysUnder(refTo(`${folder}b`).key)).toEqual([]);
  });

  test("a list of more than a page is complete, and can be left early", async () => {
    const folder = freshFolder();
    const keys = Array.from({ length: 1005 }, (_, i) => refTo(folder + String(i).padStart(5, "0")).key);
    for (let from = 0; from < keys.length; from += 24) {
      await Promise.all(
        keys.slice(from, from + 24).map((key) => put({ bucket: bench.harness.bucket, key }, pattern(1))),
      );
    }
    expect(await keysUnder(refTo(folder).key)).toEqual(keys);
    for await (const { key, bytes } of bench.store.list(bench.harness.bucket, refTo(folder).key, never)) {
      expect([key, bytes]).toEqual([keys[0] ?? "", 1]);
      break;
    }
  }, 30_000);

  test("of uploads to one key the last to commit wins, whole", async () => {
    const ref = fresh();
    const uploads = await Promise.all(
      [1, 2, 3, 4].map((seed) => open(ref, seed % 2 === 0 ? {} : { size: MIB + seed })),
    );
    await Promise.all(uploads.map((upload, i) => writeAll(upload, pattern(MIB + i + 1, i + 1))));
    for (const upload of uploads.toReversed()) await upload.commit();
    expect(digest(await readAll(ref))).toBe(digest(pattern(MIB + 1, 1)));
  });

  test("objects that are put and removed side by side do not disturb each other", async () => {
    const folder = freshFolder();
    const rounds = Array.from({ length: 100 }, async (_, i) => {
      const ref = refTo(`${folder}${i % 5}/${i}`);
      for (let round = 0; round < 3; round++) {
        await put(ref, pattern(100 + i));
        expect((await bench.store.head(ref, never))?.bytes).toBe(100 + i);
        await bench.store.remove(ref, never);
      }
    });
    await Promise.all(rounds);
    expect(await keysUnder(refTo(folder).key)).toEqual([]);
  }, 30_000);

  test("a signal that has fired ends every method with its reason", async () => {
    const ref = fresh();
    const reason = new Error("too late");
    const signal = AbortSignal.abort(reason);
    const attempts: readonly (() => Promise<unknown>)[] = [
      () => bench.store.put(ref, pattern(10), { contentType: TYPE, signal }),
      () => open(ref, { signal }),
      () => open(ref, { signal, size: MIB }),
      () => bench.store.head(ref, signal),
      () => bench.store.read(ref, signal),
      () => bench.store.remove(ref, signal),
      () => Array.fromAsync(bench.store.list(bench.harness.bucket, ref.key, signal)),
      () => bench.store.abortUpload({ ...ref, uploadId: "1-2" }, signal),
      () => bench.store.check(bench.harness.bucket, signal),
    ];
    for (const attempt of attempts) expect(await rejectionOf(attempt())).toBe(reason);
    expect(await bench.store.head(ref, never)).toBeUndefined();
  });

  test("the bucket can be checked", async () => {
    await bench.store.check(bench.harness.bucket, never);
  });
}
