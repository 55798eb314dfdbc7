import { describe, expect, test } from "bun:test";
import { KEY_BYTES_MAX, keyProblem, pathProblem } from "../../src/jobs/object-key.ts";

const CHAR = String.fromCharCode;

describe("a path", () => {
  const good = [
    "a",
    "a/b",
    "a.b/..c/...",
    ".hidden/x",
    "bücher/日本 語.png",
    "a b/%2e%2e/c",
    "🙂/x",
    "a:b*?\"<>|'~#&+=",
  ];
  for (const path of good) {
    test(`may be ${JSON.stringify(path)}`, () => {
      expect(pathProblem(path)).toBeUndefined();
      expect(keyProblem(path)).toBeUndefined();
    });
  }

  const bad = [
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "./a",
    "a/.",
    "a/../b",
    "../a",
    "a\\b",
    "..\\a",
    `a${CHAR(0)}b`,
    "a\nb",
    "a\tb",
    `a${CHAR(0x1f)}b`,
    `a${CHAR(0x7f)}b`,
    `a${CHAR(0x85)}b`,
    `a${CHAR(0x9f)}b`,
    `a${CHAR(0xd800)}b`,
    `a${CHAR(0xdc00)}`,
  ];
  for (const path of bad) {
    test(`must not be ${JSON.stringify(path)}`, () => {
      expect(pathProblem(path)).toStartWith("must not");
      expect(keyProblem(path)).toStartWith("must not");
    });
  }
});

test("a key's limit counts bytes of UTF-8", () => {
  expect(KEY_BYTES_MAX).toBe(1024);
  expect(keyProblem("a".repeat(1024))).toBeUndefined();
  expect(keyProblem("a".repeat(1025))).toBe("must be at most 1024 bytes");
  expect(keyProblem("ä".repeat(512))).toBeUndefined();
  expect(keyProblem("ä".repeat(513))).toBe("must be at most 1024 bytes");
  expect(keyProblem("🙂".repeat(256))).toBeUndefined();
  expect(keyProblem("🙂".repeat(257))).toBe("must be at most 1024 bytes");
});
