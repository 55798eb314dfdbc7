import { describe, expect, test } from "bun:test";
import { clipMiddle, jsonLine, printable, printableLines } from "../../src/cli/terminal/terminal-text.ts";

test.each([
  ["plain, ünïcode, 日本", "plain, ünïcode, 日本"],
  ["a\u001b[31mred\u001b[0m", "ared"],
  ["a\u009b31mb", "ab"],
  ["bell\u0007 null\u0000 nel\u0085", "bell? null? nel?"],
  ["turned \u202egpj.exe\u202c \u2066x\u2069", "turned ?gpj.exe? ?x?"],
  ["zero\u200bwidth \ufeffmark", "zero?width ?mark"],
  ["line\u2028paragraph\u2029tab\tend\n", "line?paragraph?tab?end?"],
])("%j is printed as %j", (text, shown) => {
  expect(printable(text)).toBe(shown);
});

test("a text of several lines keeps its line breaks, and nothing else", () => {
  expect(printableLines("a\r\nb\u001b[2Jc\n\u202ed\n")).toBe("a?\nbc\n?d\n");
});

test.each(["a\u001b[31m\u202e\u009b\u2028", "\u{e0001}tag", { "k\u200b": [1, "é日本🎉"] }])(
  "%j as JSON is the same value, in one line that a terminal can take",
  (value) => {
    const line = jsonLine(value);
    expect(JSON.parse(line)).toEqual(value);
    expect(line).toMatch(/^[^\p{C}\p{Zl}\p{Zp}]*\n$/u);
  },
);

describe("a name that is too long", () => {
  test.each([10, 20, 30, 39])("keeps its beginning and its end in %d columns", (width) => {
    const name = "http://cdn.example.com/a/long/photo.jpg";
    const clipped = clipMiddle(name, width);
    expect(Bun.stringWidth(clipped)).toBe(width);
    const [head = "", tail = ""] = clipped.split("…");
    expect([name.startsWith(head), name.endsWith(tail)]).toEqual([true, true]);
    if (width < name.length) expect(Math.min(head.length, tail.length)).toBeGreaterThan(2);
  });

  test("of wide characters has no half of one", () => {
    for (let width = 2; width < 20; width++) {
      expect(Bun.stringWidth(clipMiddle("日本語の長い名前です.jpg", width))).toBeWithin(width - 2, width + 1);
    }
  });
});
