import { expect, test } from "bun:test";
import { roughDuration } from "../../src/std/duration-text.ts";

test.each([
  [0, "0 ms"],
  [2.7, "3 ms"],
  [999, "999 ms"],
  [1000, "1 s"],
  [1260, "1.2 s"],
  [41_900, "41 s"],
  [119_000, "119 s"],
  [120_000, "2 min"],
  [630_000, "10 min"],
  [3_600_000, "1 h"],
  [12_000_000, "3 h 20 min"],
  [187_200_000, "2 d 4 h"],
  [864_000_000, "10 d"],
])("%d milliseconds read %s", (ms, text) => {
  expect(roughDuration(ms)).toBe(text);
});
