import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { digest, pattern } from "../support/pattern.ts";
import { never, type ObjectBench } from "./object-bench.ts";

const MIB = 1024 * 1024;
const PART = 8 * MIB;
const TYPE = "application/octet-stream";

/** What is stored is what is read, whatever its length, labels and type. */
export function describeObjects(bench: ObjectBench): void {
  const { fresh, put, open, sized, readAll, writeAll } = bench;

  describe("an object", () => {
    test("is whole and visible when put resolves", async () => {
      const ref = fresh();
      const body = pattern(10_000);
      const stored = await put(ref, body);
      expect(stored.bytes).toBe(10_000);
      expect(digest(await readAll(ref))).toBe(digest(body));
      expect(digest(await bench.harness.readBack(ref.key))).toBe(digest(body));
      expect(await bench.store.head(ref, never)).toMatchObject({ ...ref, bytes: 10_000, etag: stored.etag });
    });

    test("is replaced as a whole by a shorter one", async () => {
      const ref = fresh();
      await put(ref, pattern(5000, 1));
      await put(ref, pattern(70, 2));
      expect(digest(await readAll(ref))).toBe(digest(pattern(70, 2)));
    });

    test("may be empty, put or uploaded", async () => {
      const [one, two, three] = [fresh(), fresh(), fresh()];
      await put(one, new Uint8Array());
      await (await open(two, { size: 0 })).commit();
      await (await open(three)).commit();
      for (const ref of [one, two, three]) {
        expect((await bench.store.head(ref, never))?.bytes).toBe(0);
        expect(digest(await readAll(ref))).toBe(digest(new Uint8Array()));
      }
    });

    const around = [1, 256 * 1024, 256 * 1024 + 1, MIB, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 1];
    for (const bytes of around) {
      test(`of ${bytes} bytes arrives exactly, its size known or not`, async () => {
        const body = pattern(bytes, bytes);
        for (const isKnown of [true, false]) {
          const ref = fresh();
          const upload = await open(ref, sized(isKnown, bytes));
          await writeAll(upload, body, 100_003);
          const stored = await upload.commit();
          expect(stored.bytes).toBe(bytes);
          expect(digest(await bench.harness.readBack(ref.key))).toBe(digest(body));
          expect((await bench.store.head(ref, never))?.etag).toBe(stored.etag);
        }
        expect(await bench.harness.leftovers()).toEqual([]);
      });
    }

    test("arrives exactly in chunks of one byte and in a single one", async () => {
      const body = pattern(300_000);
      const [bytewise, atOnce] = [fresh(), fresh()];
      const upload = await open(bytewise, { size: 3000 });
      await writeAll(upload, body.subarray(0, 3000), 1);
      await upload.commit();
      expect(digest(await readAll(bytewise))).toBe(digest(body.subarray(0, 3000)));
      const single = await open(atOnce, { size: 300_000 });
      await single.write(new Uint8Array());
      await single.write(body);
      await single.commit();
      expect(digest(await readAll(atOnce))).toBe(digest(body));
    });

    test("carries its labels, where the backend has labels", async () => {
      const labels = { job: "0193-ab", task: "17", odd: " é%41=\u2028; " };
      const [one, two, three] = [fresh(), fresh(), fresh()];
      await bench.store.put(one, pattern(10), { contentType: TYPE, labels, signal: never });
      const streamed = await open(two, { size: MIB, labels });
      await writeAll(streamed, pattern(MIB));
      await streamed.commit();
      const parts = await open(three, { labels });
      await writeAll(parts, pattern(PART + 1));
      await parts.commit();
      for (const ref of [one, two, three]) {
        expect((await bench.store.head(ref, never))?.labels).toEqual(bench.harness.hasLabels ? labels : {});
      }
    });

    test("is kept in its coding, and the backend says which where it can", async () => {
      const [one, two, three] = [fresh(), fresh(), fresh()];
      const [small, body] = [1000, PART + 1].map((bytes) => gzipSync(pattern(bytes), { level: 0 }));
      if (small === undefined || body === undefined) throw new Error("there are no bodies");
      await bench.store.put(one, small, { contentType: TYPE, contentEncoding: "gzip", signal: never });
      const streamed = await open(two, { size: body.byteLength, contentEncoding: "gzip" });
      await writeAll(streamed, body);
      await streamed.commit();
      const parts = await open(three, { contentEncoding: "gzip" });
      await writeAll(parts, body);
      await parts.commit();
      for (const ref of [one, two, three]) {
        const bytes = ref === one ? small : body;
        expect(digest(await readAll(ref))).toBe(digest(bytes));
        expect((await bench.store.head(ref, never))?.bytes).toBe(bytes.byteLength);
        if (bench.harness.codingOf !== undefined) expect(await bench.harness.codingOf(ref.key)).toBe("gzip");
      }
    });

    test("is stored whatever its content type looks like", async () => {
      for (const contentType of ["", "text/html;  charset=UTF-8 ", "a\u00e9/\r\nx", `x/${"y".repeat(5000)}`]) {
        const ref = fresh();
        await bench.store.put(ref, pattern(10), { contentType, signal: never });
        expect((await bench.store.head(ref, never))?.bytes).toBe(10);
      }
    });

    test("may be read and not finished", async () => {
      const ref = fresh();
      await put(ref, pattern(3 * MIB));
      const reader = (await bench.store.read(ref, never))?.getReader();
      expect((await reader?.read())?.value?.byteLength).toBeGreaterThan(0);
      await reader?.cancel();
    });
  });
}
