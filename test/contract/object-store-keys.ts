import { describe, expect, test } from "bun:test";
import { keyProblem } from "../../src/jobs/object-key.ts";
import { corpusLines } from "../support/corpus.ts";
import { digest, pattern } from "../support/pattern.ts";
import { failureOf } from "../support/rejection.ts";
import { never, type ObjectBench } from "./object-bench.ts";

const ODD_NAMES = [
  "plain.jpg",
  "with space",
  " leading and trailing ",
  "%2F",
  "100%25",
  "a+b",
  "#fragment",
  "?query=1&b=2",
  "a&b;c=d",
  'it\'s "quoted" `so`',
  "(a)*!~$,:@",
  "<xml>&amp;</xml>",
  "{}[]|^",
  ".hidden",
  "..more",
  "...",
  "ünïcödé",
  "u\u0308 is not ü",
  "日本語/ファイル",
  "😀/🏳️‍🌈",
  "\u{10ffff}",
  "\u202eright-to-left",
  "\u00a0",
  "-rf",
  "con.txt",
  "a/b/c/d/e/f/g/h",
];

/** Every key that object-key.ts allows names exactly its object; no other is taken. */
export function describeKeys(bench: ObjectBench): void {
  const { refTo, put, open, readAll, keysUnder } = bench;

  describe("a key", () => {
    async function roundTrip(key: string): Promise<void> {
      const ref = { bucket: bench.harness.bucket, key };
      const body = Buffer.from(key);
      await put(ref, body);
      expect(digest(await bench.harness.readBack(key))).toBe(digest(body));
      expect(digest(await readAll(ref))).toBe(digest(body));
      expect(await bench.store.head(ref, never)).toMatchObject({ key, bytes: body.byteLength });
      const isListed = bench.harness.listsByAnyPrefix !== false || !key.endsWith("\u{10ffff}");
      expect(await keysUnder(isListed ? key : key.slice(0, -2))).toContain(key);
      await bench.store.remove(ref, never);
      expect(await bench.store.head(ref, never)).toBeUndefined();
    }

    for (const odd of ODD_NAMES) {
      test(`with ${JSON.stringify(odd)} in it names exactly its object`, async () => {
        await roundTrip(refTo(`odd/${odd}`).key);
        await roundTrip(refTo(`odd/${odd}/below`).key);
      });
    }

    test("of 1024 bytes in segments of 255 names its object", async () => {
      const segment = "é".repeat(127) + "x";
      const filler = `${segment}/${segment}/${segment}/`;
      const head = refTo("long/").key + filler;
      const key = head + "y".repeat(1024 - Buffer.byteLength(head));
      expect(Buffer.byteLength(key)).toBe(1024);
      expect(bench.store.refuses(key)).toBeUndefined();
      await roundTrip(key);
    });

    test("made of any naughty string that is legal names exactly its object", async () => {
      const strings = await corpusLines("naughty-strings/blns.txt");
      const keys = strings
        .map((string, index) => refTo(`naughty/${String(index).padStart(4, "0")}/${string}`).key)
        .filter((key) => keyProblem(key) === undefined && bench.store.refuses(key) === undefined);
      for (let from = 0; from < keys.length; from += 16) {
        await Promise.all(
          keys.slice(from, from + 16).map((key) => put({ bucket: bench.harness.bucket, key }, Buffer.from(key))),
        );
      }
      expect(await keysUnder(refTo("naughty/").key)).toEqual(keys);
      for (const key of keys) expect(Buffer.from((await bench.harness.readBack(key)) ?? []).toString()).toBe(key);
      await Promise.all(keys.map((key) => bench.store.remove({ bucket: bench.harness.bucket, key }, never)));
      expect(await keysUnder(refTo("naughty/").key)).toEqual([]);
    });

    test("that object-key.ts forbids is refused by every method", async () => {
      for (const key of ["", "/x", "x/", "a//b", "../x", "a/../../x", "a/./b", "a\\b", "a\u0000b", "k".repeat(1025)]) {
        const ref = { bucket: bench.harness.bucket, key };
        const attempts: readonly (() => Promise<unknown>)[] = [
          () => put(ref, pattern(1)),
          () => open(ref),
          () => bench.store.head(ref, never),
          () => bench.store.read(ref, never),
          () => bench.store.remove(ref, never),
        ];
        for (const attempt of attempts) {
          const failure = await failureOf(attempt());
          expect(failure.code).toBe("HANDLER_ERROR");
        }
      }
    });
  });
}
