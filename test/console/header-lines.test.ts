import { expect, test } from "bun:test";
import { readHeaderLines } from "../../src/console/dialogs/header-lines.ts";
import { checkHeaders } from "../../src/intake/manifest/field-rules.ts";
import { HEADER_VALUE_BYTES_MAX, REQUEST_HEADERS_MAX } from "../../src/net/request-header.ts";

const problemOf = (text: string) => readHeaderLines(text).problem;

test("the headers of the lines have trimmed names and values", () => {
  expect(readHeaderLines("\n Referer : https://a.example/x \r\nX-Empty:\n")).toEqual({
    headers: { Referer: "https://a.example/x", "X-Empty": "" },
    problem: undefined,
  });
});

const LIKE = 'Enter "Name: value", like "Referer: https://example.com/".';

test.each([
  ["nonsense", `Line 1 of the headers: it has no colon. ${LIKE}`],
  ["X-A: 1\nBearer abc def", `Line 2 of the headers: it has no colon. ${LIKE}`],
  [": x", `Line 1 of the headers: it has no name before the colon. ${LIKE}`],
  [
    "Bearer abc: def",
    `Line 1 of the headers: its name has a character that no header name may have, such as a space. ${LIKE}`,
  ],
  ["\nHost: a", "Line 2 of the headers: a replay must not set Host. Remove the line."],
  ["X-A: 1\n\nx-a: 2", "Line 3 of the headers: it repeats X-A of line 1. Keep one of them; letter case is ignored."],
  ["X-A: 1\nX-A: 1", "Line 2 of the headers: it repeats X-A of line 1. Keep one of them; letter case is ignored."],
])("the problem of %j names the line and the remedy", (text, problem) => {
  expect(problemOf(text)).toBe(problem);
});

/** True if the service accepts headers. */
function isAccepted(headers: Readonly<Record<string, string>>): boolean {
  let isFine = true;
  checkHeaders(headers, () => (isFine = false));
  return isFine;
}

test("the console and the service refuse the same headers", () => {
  const own = ["Host", "content-length", "Transfer-Encoding", "Connection", "Upgrade", "TE", "Trailer"];
  const bytes = ["Proxy-Authorization", "proxy-x", "Accept-Encoding", "Range", "__proto__", "__PROTO__"];
  const others = ["Referer", "X-Hosted", "If-Range", "Proxy", "a b", "ä", "a!#$%&'*+.^_`|~", "x".repeat(128)];
  for (const name of [...own, ...bytes, ...others, "x".repeat(129), "(a)"]) {
    expect([name, problemOf(`${name}: 1`) === undefined]).toEqual([
      name,
      isAccepted(Object.fromEntries([[name, "1"]])),
    ]);
  }
  const values = [
    "",
    "a",
    "a\tb",
    "a\u0000b",
    "a\u007fb",
    "\u0080",
    "ÿ",
    "Ā",
    "語",
    "x".repeat(HEADER_VALUE_BYTES_MAX),
  ];
  for (const value of [...values, "x".repeat(HEADER_VALUE_BYTES_MAX + 1)]) {
    expect([value, problemOf(`X-A: ${value}`) === undefined]).toEqual([value, isAccepted({ "X-A": value })]);
  }
  for (const count of [REQUEST_HEADERS_MAX, REQUEST_HEADERS_MAX + 1]) {
    const names = Array.from({ length: count }, (_, at) => `X-${at}`);
    const text = names.map((name) => `${name}: 1`).join("\n");
    expect([count, problemOf(text) === undefined]).toEqual([
      count,
      isAccepted(Object.fromEntries(names.map((name) => [name, "1"]))),
    ]);
  }
});
