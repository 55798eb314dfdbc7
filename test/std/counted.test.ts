import { expect, test } from "bun:test";
import { counted, numbered } from "../../src/std/counted.ts";

test("one thing has a singular, and every other number a plural", () => {
  expect([0, 1, 2, 1024].map((count) => numbered(count, "byte"))).toEqual([
    "0 bytes",
    "1 byte",
    "2 bytes",
    "1024 bytes",
  ]);
  expect([0, 1, 1024].map((count) => counted(count, "task"))).toEqual(["0 tasks", "1 task", "1,024 tasks"]);
});
