import { describe, expect, test } from "bun:test";
import { framingOf } from "../../src/http/message/framing.ts";
import { parseHead } from "../../src/http/message/response-head.ts";
import { kindOf } from "./recorded-answer.ts";

const TE = "Transfer-Encoding";
const CL = "Content-Length";

function framing(fields: readonly string[], method = "GET", statusLine = "HTTP/1.1 200 OK") {
  return framingOf(parseHead([statusLine, ...fields, ""].join("\r\n"), 100), method);
}

describe("the end of a body", () => {
  const rows: readonly [fields: string[], end: object][] = [
    [[], { kind: "until-close" }],
    [[`${CL}: 0`], { kind: "length", bytes: 0 }],
    [[`${CL}: 5`], { kind: "length", bytes: 5 }],
    [[`${CL}: 005`], { kind: "length", bytes: 5 }],
    [[`${CL}: 9007199254740991`], { kind: "length", bytes: Number.MAX_SAFE_INTEGER }],
    [[`${CL}: 5, 5`, `${CL}: 05`], { kind: "length", bytes: 5 }],
    [[`${TE}: chunked`], { kind: "chunked" }],
    [[`${TE}: Chunked`], { kind: "chunked" }],
    [[`${TE}: gzip, chunked`], { kind: "chunked" }],
    [[`${TE}: gzip`, `${TE}: chunked`], { kind: "chunked" }],
    [[`${TE}: gzip;q="a, chunked"`, `${TE}: ,chunked,`], { kind: "chunked" }],
    [[`${TE}: chunked`, `${CL}: 5`], { kind: "chunked" }],
    [[`${TE}: chunked`, `${CL}: x`], { kind: "chunked" }],
    [[`${TE}: chunked, gzip`], { kind: "until-close" }],
    [[`${TE}: identity`, `${CL}: 5`], { kind: "until-close" }],
    [[`${TE}: xchunked`], { kind: "until-close" }],
    [[`${TE}: "chunked"`], { kind: "until-close" }],
    [[`${TE}: chunked\xa0`], { kind: "until-close" }],
    [[`${TE}: ,`], { kind: "until-close" }],
  ];
  test.each(rows)("%j gives %j", (fields, end) => {
    expect(framing(fields)).toMatchObject(end);
  });

  const lengths = [
    "",
    "-1",
    "+1",
    "1.0",
    "0x1",
    "1e1",
    "1 1",
    "1;",
    "1,",
    ",1",
    "1, 2",
    "\xb9",
    "9007199254740992",
    "x",
  ];
  test.each(lengths)("the length %j is refused", (length) => {
    expect(kindOf(() => framing([`${CL}: ${length}`]))).toBe("protocol");
  });

  const contradictions: readonly [fields: string[]][] = [
    [[`${TE}: chunked, chunked`]],
    [[`${TE}: chunked`, `${TE}: gzip, chunked`]],
    [[`${TE}: chunked, chunked, gzip`]],
    [[`${TE}: chunked;q=1`]],
    [[`${TE}: chunked ; q=1`]],
    [[`${CL}: 1`, `${CL}: 2`]],
  ];
  test.each(contradictions)("%j are refused", (fields) => {
    expect(kindOf(() => framing(fields))).toBe("protocol");
  });

  test.each([
    ["HEAD", "200 OK"],
    ["GET", "100 Continue"],
    ["GET", "204 No Content"],
    ["GET", "304 Not Modified"],
    ["CONNECT", "200 Connected"],
  ])("%s answered with %s has no body, whatever its fields say", (method, status) => {
    for (const fields of [[], [`${CL}: 5`], [`${CL}: x`], [`${TE}: chunked`], [`${TE}: gzip`]]) {
      expect(framing(fields, method, `HTTP/1.1 ${status}`).kind).toBe("none");
    }
  });

  test("a refused CONNECT has a body", () => {
    expect(framing([`${CL}: 5`], "CONNECT", "HTTP/1.1 407 Proxy Authentication Required").kind).toBe("length");
  });
});

describe("the connection", () => {
  const rows: readonly [version: string, fields: string[], keeps: boolean][] = [
    ["1.1", [], true],
    ["1.1", ["Connection: close"], false],
    ["1.1", ["Connection: Upgrade , CLOSE"], false],
    ["1.1", ["Connection: keep-alive", "Connection: close"], false],
    ["1.1", ["Connection: closed"], true],
    ["1.1", ["Connection:"], true],
    ["1.0", [], false],
    ["1.0", ["Connection: Keep-Alive"], true],
    ["1.0", ["Connection: keep-alive, close"], false],
    ["1.0", ["Keep-Alive: timeout=5"], false],
  ];
  test.each(rows)("of version %s with %j: kept is %p", (version, fields, keeps) => {
    const statusLine = `HTTP/${version} 200 OK`;
    expect(framing([...fields, `${CL}: 1`], "GET", statusLine).keepsConnection).toBe(keeps);
    expect(framing(fields, "HEAD", statusLine).keepsConnection).toBe(keeps);
    expect(framing(fields, "GET", statusLine).keepsConnection).toBe(false);
  });

  test("is not kept where two readers may see two messages", () => {
    expect(framing([`${TE}: chunked`]).keepsConnection).toBe(true);
    expect(framing([`${TE}: chunked`, `${CL}: 5`]).keepsConnection).toBe(false);
    expect(framing([`${TE}: chunked`, `${CL}: 5`], "HEAD").keepsConnection).toBe(false);
    const old = framing([`${TE}: chunked`, "Connection: keep-alive"], "GET", "HTTP/1.0 200 OK");
    expect(old).toEqual({ kind: "chunked", keepsConnection: false });
  });

  test("is a tunnel after a successful CONNECT, whatever the proxy's Connection field", () => {
    expect(framing(["Connection: close"], "CONNECT", "HTTP/1.0 200 OK")).toEqual({
      kind: "none",
      keepsConnection: true,
    });
    expect(framing(["Connection: close"], "CONNECT", "HTTP/1.1 502 No").keepsConnection).toBe(false);
  });
});
