import { expect, test } from "bun:test";
import { table } from "../../src/cli/terminal/table.ts";

const COLUMNS = [
  { title: "JOB" },
  { title: "TYPE", isElastic: true, expendable: 2 },
  { title: "FAILED", isNumber: true, expendable: 1 },
  { title: "URL", isElastic: true },
] as const;
const ROW = ["01a210de-9ee4-7320", "a-long-type-of-jobs", "3", "http://example.com/a/long/path/日本.jpg"];

function lines(width?: number): string[] {
  return table(COLUMNS, [ROW], width).trimEnd().split("\n");
}

test("a table is as wide as its contents where there is no terminal", () => {
  expect(lines()).toEqual([
    "JOB                 TYPE                 FAILED  URL",
    "01a210de-9ee4-7320  a-long-type-of-jobs       3  http://example.com/a/long/path/日本.jpg",
  ]);
});

test.each([
  [80, ["JOB", "TYPE", "FAILED", "URL"]],
  [60, ["JOB", "TYPE", "FAILED", "URL"]],
  [48, ["JOB", "TYPE", "FAILED", "URL"]],
  [42, ["JOB", "FAILED", "URL"]],
  [30, ["JOB", "URL"]],
])("a table is at most %d columns wide, and what matters least goes first", (width, columns) => {
  const shown = lines(width);
  for (const line of shown) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(width);
  expect(shown[1]).toContain(ROW[0] ?? "");
  const titles = shown[0]?.split(/ +/);
  expect(titles).toEqual(columns);
});

test("a name that is too long keeps its end, a sentence its beginning", () => {
  const columns = [
    { title: "NAME", isElastic: true },
    { title: "MESSAGE", isText: true, isElastic: true },
  ] as const;
  const rows = [["http://example.com/a/long/path/photo-17.jpg", "the origin answered 404 and said no more than that"]];
  expect(table(columns, rows, 50).split("\n")[1]).toBe("http://exa…/photo-17.jpg  the origin answered 404…");
});
