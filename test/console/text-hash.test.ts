import { expect, test } from "bun:test";
import { textHash } from "../../src/console/parts/text-hash.ts";

test("equal texts have one hash, and each other text has another one", () => {
  const texts = Array.from({ length: 100_000 }, (_, at) => `https://a.example/${at}`);
  expect(new Set(texts.map(textHash)).size).toBe(texts.length);
  expect(textHash("a")).toBe(textHash("a"));
  expect(textHash("x".repeat(1_000_000))).toMatch(/^[0-9a-z]{1,11}$/);
});
