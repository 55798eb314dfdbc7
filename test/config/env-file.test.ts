import { expect, test } from "bun:test";
import type { Problem } from "../../src/config/config-error.ts";
import { parseEnvFile } from "../../src/config/sources/variables.ts";

function parse(text: string): { values: Record<string, string>; problems: Problem[] } {
  const problems: Problem[] = [];
  const variables = parseEnvFile(text, ".env", problems);
  return { values: Object.fromEntries([...variables].map(([name, { value }]) => [name, value])), problems };
}

test.each([
  ["A=1", "1"],
  ["A = spaced out  ", "spaced out"],
  ["export A=1", "1"],
  ["A=", ""],
  ["A=a#b", "a#b"],
  ["A=a # comment", "a"],
  ["A= # comment", ""],
  ['A="a # b" # comment', "a # b"],
  ["A='a \\n \"b\"'", 'a \\n "b"'],
  ['A="a\\nb\\"c\\\\n"', 'a\nb"c\\n'],
  ["A=${B}$C", "${B}$C"],
  ["A=x=y", "x=y"],
  ["A=\u00e9\u2603", "\u00e9\u2603"],
])("%p is read", (line, value) => {
  expect(parse(line)).toEqual({ values: { A: value }, problems: [] });
});

test("comments, empty lines and CRLF are skipped, lines are counted", () => {
  const problems: Problem[] = [];
  const variables = parseEnvFile("# a\r\n\r\nA=1\r\n  # b\r\nB='2'\r\n", ".env", problems);
  expect([...variables]).toEqual([
    ["A", { value: "1", line: 3 }],
    ["B", { value: "2", line: 5 }],
  ]);
  expect(problems).toEqual([]);
});

test.each([
  "hidden",
  "=hidden",
  "1A=hidden",
  "A B=hidden",
  "A: hidden",
  'A="hidden',
  "A='hidden",
  'A="hidden" hidden',
  "A='hid'den'",
])("%p is refused with its line, and without its text", (line) => {
  const { values, problems } = parse(`# first\n${line}`);
  expect(values).toEqual({});
  expect(problems).toHaveLength(1);
  expect(problems[0]?.source).toBe(".env:2");
  expect(problems[0]?.message).not.toContain("hid");
});

test("a variable that is set twice is a problem", () => {
  expect(parse("A=1\nB=2\nA=3").problems).toEqual([
    { source: ".env:3", key: "A", message: "is already set in line 1" },
  ]);
});

test("names that objects inherit are names like any other", () => {
  expect(parse("__proto__=1\nconstructor=2").problems).toEqual([]);
});
