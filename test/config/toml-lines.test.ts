import { expect, test } from "bun:test";
import { nearest } from "../../src/config/sources/key-path.ts";
import { tomlLines } from "../../src/config/sources/toml-file.ts";

const DOCUMENT = `# comment with [brackets] and "quotes
top = 1
dotted.key.deep = 2 # a = 1
"quoted key" = 3
'lit.eral'."x=y" = 4

[table] # comment
key = """
[not.a.table]
no = "key" \\""" still
"""
after = '''
it's [fine]
'''
list = [
  "a", # ] not the end
  { inner = 1 },
  """
  ]
  """,
]
inline = { a = 1, b = { c = 2 } }
empty = ""
quotes = """"two quotes inside""""

  [ "a.b" . c ]
  late = 1
[[many]]
x = 1
[[many]]
x = 2
[table.sub]
end = "no newline"`;

test.each([
  [["top"], 2],
  [["dotted"], 3],
  [["dotted", "key", "deep"], 3],
  [["quoted key"], 4],
  [["lit.eral", "x=y"], 5],
  [["table"], 7],
  [["table", "key"], 8],
  [["table", "after"], 12],
  [["table", "list"], 15],
  [["table", "list", 0], 16],
  [["table", "list", 1, "inner"], 17],
  [["table", "list", 2], 18],
  [["table", "inline"], 22],
  [["table", "empty"], 23],
  [["table", "quotes"], 24],
  [["a.b"], 26],
  [["a.b", "c", "late"], 27],
  [["many"], 28],
  [["many", 0, "x"], 29],
  [["many", 1], 30],
  [["many", 1, "x"], 31],
  [["table", "sub"], 32],
  [["table", "sub", "end"], 33],
])("%p stands in line %d", (path, line) => {
  expect(nearest(tomlLines(DOCUMENT), path)).toBe(line);
});

test("what has no line of its own has the line of what is around it", () => {
  const lines = tomlLines(DOCUMENT);
  expect(nearest(lines, ["table", "inline", "b", "c"])).toBe(22);
  expect(nearest(lines, ["table", "list", 7])).toBe(15);
  expect(nearest(lines, ["table", "missing"])).toBe(7);
});

test("text inside of strings is no key, and what is not there has no line", () => {
  const lines = tomlLines(DOCUMENT);
  expect(lines.has("not.a")).toBe(false);
  expect(lines.has("table.no")).toBe(false);
  expect(nearest(lines, ["nothing"])).toBeUndefined();
  expect(nearest(lines, [])).toBeUndefined();
});

test("CRLF counts as one line end", () => {
  expect(nearest(tomlLines('[a]\r\n\r\nb = "x"\r\nc = 1\r\n'), ["a", "c"])).toBe(4);
});
