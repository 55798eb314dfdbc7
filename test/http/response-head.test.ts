import { describe, expect, test } from "bun:test";
import { HttpError, type HttpErrorKind } from "../../src/http/http-error.ts";
import { parseFields, parseHead, trimBlanks } from "../../src/http/message/response-head.ts";
import { kindOf } from "./recorded-answer.ts";

const OK = "HTTP/1.1 200 OK\r\n";

describe("the status line", () => {
  const rows: readonly [line: string, version: string, status: number, reason: string][] = [
    ["HTTP/1.1 200 OK", "1.1", 200, "OK"],
    ["HTTP/1.0 404 Not Found", "1.0", 404, "Not Found"],
    ["HTTP/1.7 200 OK", "1.1", 200, "OK"],
    ["HTTP/1.1 100 ", "1.1", 100, ""],
    ["HTTP/1.1 599", "1.1", 599, ""],
    ["HTTP/1.1 200  two spaces ", "1.1", 200, " two spaces "],
    ["HTTP/1.1 200 \xff\x01\x85\u2028", "1.1", 200, "\xff\x01\x85\u2028"],
  ];
  test.each(rows)("%j is taken", (line, version, status, reason) => {
    for (const end of ["\r\n", "\n"]) {
      expect(parseHead(line + end, 1)).toMatchObject({ version, status, reason });
    }
  });

  const refused = [
    "HTTP/2 200 OK",
    "HTTP/2.0 200 OK",
    "HTTP/1.1",
    "HTTP/1.1 ",
    "HTTP/1.1 20",
    "HTTP/1.1 2000",
    "HTTP/1.1 200OK",
    "HTTP/1.1 099 Low",
    "HTTP/1.1 600 High",
    "HTTP/1.1 999 Denied",
    "HTTP/1.1\t200 OK",
    "HTTP/1.1 200 a\0b",
    "HTTP/1.1 200 a\rb",
    "http/1.1 200 OK",
    "",
  ];
  test.each(refused)("%j is refused", (line) => {
    expect(kindOf(() => parseHead(`${line}\r\n`, 1))).toBe("protocol");
  });

  test("a status that has no meaning is named", () => {
    expect(() => parseHead("HTTP/1.1 999 Denied\r\n", 1)).toThrow("status 999 is not a valid status");
  });
});

describe("the field lines", () => {
  const rows: readonly [lines: string, fields: [string, string][]][] = [
    ["", []],
    ["A: b\r\n", [["a", "b"]]],
    ["A:b\n", [["a", "b"]]],
    ["A:\r\n", [["a", ""]]],
    ["A: \t b c \t\r\n", [["a", "b c"]]],
    ["A \t: b\r\n", [["a", "b"]]],
    ["A: :b:\r\n", [["a", ":b:"]]],
    ["A: \xa0b\x0b\x85\r\n", [["a", "\xa0b\x0b\x85"]]],
    ["!#$%&'*+-.^_`|~09azAZ: x\r\n", [["!#$%&'*+-.^_`|~09azaz", "x"]]],
    ["A: b\r\na: C\r\n", [["a", "b"], ["a", "C"]]], // biome-ignore format: one row
    ["A: b\r\n c\r\n\t d \r\nE: f\r\n", [["a", "b c d"], ["e", "f"]]], // biome-ignore format: one row
    ["A:\r\n b\r\n", [["a", "b"]]],
    ["A: b\r\n \r\n", [["a", "b"]]],
    ["A: b\n B: c\n", [["a", "b B: c"]]],
    ["A: \xc4\r\n", [["a", "\xc4"]]],
  ];
  test.each(rows)("%j are taken", (lines, fields) => {
    expect([...parseHead(OK + lines, 10).headers]).toEqual(fields);
    expect([...parseFields(lines, 10)]).toEqual(fields);
  });

  const refused = [
    "A\r\n",
    "\xc4: b\r\n",
    ": b\r\n",
    " A: b\r\n",
    "A b: c\r\n",
    "A\x7f: b\r\n",
    "A(: b\r\n",
    "A\0: b\r\n",
    "A: \0\r\n",
    "A: b\rc\r\n",
    "A: b\r\r\n",
    "A\r: b\r\n",
    "A\nb: c\r\n",
    "A \n: c\r\n",
    "A: b",
  ];
  test.each(refused)("%j are refused", (lines) => {
    expect(kindOf(() => parseHead(OK + lines, 10))).toBe("protocol");
    expect(kindOf(() => parseFields(lines, 10))).toBe("protocol");
  });

  test("more fields than allowed make the head too large, folds do not count", () => {
    expect(parseFields("A: b\r\n c\r\nD: e\r\n f\r\n", 2).count).toBe(2);
    const tooMany: HttpErrorKind = "head-too-large";
    expect(kindOf(() => parseFields("A: b\r\nC: d\r\nE: f\r\n", 2))).toBe(tooMany);
    expect(() => parseFields("A: b\r\n", 0)).toThrow(HttpError);
  });

  test("only spaces and tabs are trimmed", () => {
    expect(trimBlanks(" \t\xa0 a \xa0\t ")).toBe("\xa0 a \xa0");
    expect(trimBlanks(" \t ")).toBe("");
  });
});
