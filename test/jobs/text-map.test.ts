import { expect, test } from "bun:test";
import { TextMap } from "../../src/std/collections/text-map.ts";

test("keeps the first value of each text, of any length and of any characters", () => {
  const texts = ["", "a", "b", "ab", "ba", "\ud800", "ü", "x".repeat(64), "x".repeat(65), `${"x".repeat(64)}y`];
  const map = new TextMap<number>();
  for (const [index, text] of texts.entries()) expect(map.add(text, index)).toBe(true);
  for (const text of texts) expect(map.add(text, -1)).toBe(false);
  expect(texts.map((text) => map.get(text))).toEqual(texts.map((_, index) => index));
  expect(texts.every((text) => map.has(text))).toBe(true);
  expect([map.size, map.get("c"), map.has("x".repeat(66))]).toEqual([texts.length, undefined, false]);
});

test("tells as many texts apart as there are", () => {
  const map = new TextMap<number>();
  const textOf = (i: number) => `x\uacc9\u962e\u4b93\u8bb8${i.toString(36).padStart(4, "0")}`;
  for (let i = 0; i < 200_000; i++) map.add(textOf(i), i);
  expect(map.size).toBe(200_000);
  expect(map.get(textOf(123_456))).toBe(123_456);
});

test("a long text is not taken for its digest", () => {
  const long = "y".repeat(100);
  const digest = Bun.CryptoHasher.hash("sha256", Buffer.from(long, "utf16le"), "hex");
  const map = new TextMap<string>();
  map.add(long, "long");
  expect([map.get(digest), map.get(`${digest}!`)]).toEqual([undefined, undefined]);
});
