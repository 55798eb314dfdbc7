import { describe, expect, test } from "bun:test";
import { HeaderFields } from "../../src/http/message/header-fields.ts";
import { judgeRest, rangeHeaders, resumeValidator } from "../../src/worker/download/resume.ts";

type Fields = Readonly<Record<string, string | readonly string[]>>;

function fields(values: Fields): HeaderFields {
  return new HeaderFields(Object.entries(values).flatMap(([name, all]) => [all].flat().map((value) => [name, value])));
}

const MONDAY = "Mon, 01 Jan 2024 00:00:00 GMT";
const TUESDAY = "Tue, 02 Jan 2024 00:00:00 GMT";
const FRIDAY = "Fri, 05 Jan 2024 00:00:00 GMT";
const DATED = { "last-modified": MONDAY, date: FRIDAY };
const TAGGED = { etag: '"a"' };
const REST = { "content-range": "bytes 100-299/300" };
const NOW = Date.UTC(2026, 10, 24);

/** Judges an answer with the given fields after one that broke at byte 100, of 300. */
function judge(first: Fields, rest: Fields, { status = 206, total = 300 as number | undefined } = {}) {
  const point = { first: fields(first), validator: resumeValidator(fields(first)) ?? "", offset: 100, total };
  expect(point.validator).not.toBe("");
  return judgeRest({ status, headers: fields({ ...REST, ...rest }) }, point, NOW);
}

describe("the validator to resume with", () => {
  test.each([
    [{ etag: '"a"' }, '"a"'],
    [{ etag: '"a"', ...DATED }, '"a"'],
    [{ etag: ['"a"', '"a"'] }, '"a"'],
    [{ etag: ['"a"', '"b"'] }, undefined],
    [{ etag: 'W/"a"' }, undefined],
    [{ etag: 'W/"a"', ...DATED }, undefined],
    [{ etag: "a" }, undefined],
    [{ etag: '""' }, undefined],
    [{ etag: '"a"', "transfer-encoding": "gzip, chunked" }, undefined],
    [{ etag: '"a"', "transfer-encoding": "chunked" }, '"a"'],
    [{ etag: '"a"', "accept-ranges": "none" }, undefined],
    [{ etag: '"a"', "accept-ranges": "None" }, undefined],
    [{ etag: '"a"', "accept-ranges": "bytes" }, '"a"'],
    [
      { "last-modified": "Tue, 24 Nov 2026 11:59:00 GMT", date: "Tue, 24 Nov 2026 12:00:00 GMT" },
      "Tue, 24 Nov 2026 11:59:00 GMT",
    ],
    [{ "last-modified": "Tue, 24 Nov 2026 11:59:01 GMT", date: "Tue, 24 Nov 2026 12:00:00 GMT" }, undefined],
    [{ "last-modified": MONDAY }, undefined],
    [{ "last-modified": "yesterday", date: FRIDAY }, undefined],
    [{}, undefined],
  ] as [Fields, string | undefined][])("of %j is %p", (values, validator) => {
    expect(resumeValidator(fields(values))).toBe(validator);
  });

  test("is asked for with the range", () => {
    const point = { first: fields(TAGGED), validator: '"a"', offset: 100, total: undefined };
    expect(rangeHeaders(point)).toEqual({ Range: "bytes=100-", "If-Range": '"a"' });
  });
});

describe("an answer is the rest", () => {
  test.each([
    ["with the same tag", TAGGED, TAGGED],
    ["with the same date, strong by the first answer", DATED, { "last-modified": MONDAY }],
    ["with both", { ...TAGGED, ...DATED }, { ...TAGGED, "last-modified": MONDAY }],
    ["with the tag alone", { ...TAGGED, ...DATED }, TAGGED],
    ["with the date alone", { ...TAGGED, ...DATED }, { "last-modified": MONDAY }],
    ["with a tag that the first did not have", DATED, { ...TAGGED, "last-modified": MONDAY }],
    ["with the same type", { ...TAGGED, "content-type": "a/b" }, { ...TAGGED, "content-type": "a/b" }],
    ["with a type that the first did not have", TAGGED, { ...TAGGED, "content-type": "a/b" }],
    ["with the same coding", { ...TAGGED, "content-encoding": "gzip" }, { ...TAGGED, "content-encoding": "GZIP" }],
    ["with identity", TAGGED, { ...TAGGED, "content-encoding": "identity" }],
    ["with the length of the rest", TAGGED, { ...TAGGED, "content-length": "200" }],
    [
      "with the same digest",
      { ...TAGGED, "repr-digest": "sha-256=:AA==:" },
      { ...TAGGED, "repr-digest": "sha-256=:AA==:" },
    ],
    ["with another algorithm", { ...TAGGED, digest: "md5=AA==" }, { ...TAGGED, digest: "sha-256=BB==" }],
    ["with a digest of the part", { ...TAGGED, "content-md5": "AA==" }, { ...TAGGED, "content-md5": "BB==" }],
    ["with its range said twice", TAGGED, { ...TAGGED, "content-range": ["bytes 100-299/300", "bytes 100-299/300"] }],
  ] as [string, Fields, Fields][])("%s", (_, first, rest) => {
    expect(judge(first, rest)).toEqual({ kind: "rest", total: 300 });
  });

  test("and gives the size of the whole if the first answer did not", () => {
    expect(judge(TAGGED, TAGGED, { total: undefined })).toEqual({ kind: "rest", total: 300 });
  });
});

describe("an answer is not the rest", () => {
  test.each([
    ["that begins elsewhere", { "content-range": "bytes 0-299/300" }],
    ["that begins later", { "content-range": "bytes 101-299/300" }],
    ["that ends early", { "content-range": "bytes 100-298/300" }],
    ["of a larger body", { "content-range": "bytes 100-399/400" }],
    ["of a body of unknown size", { "content-range": "bytes 100-299/*" }],
    ["in other units", { "content-range": "items 100-299/300" }],
    ["without its range", { "content-range": [] }],
    ["with two ranges", { "content-range": ["bytes 100-299/300", "bytes 0-299/300"] }],
    ["in parts", { "content-type": "multipart/byteranges; boundary=x" }],
    ["of another length", { "content-length": "199" }],
    ["of two lengths", { "content-length": ["200", "199"] }],
  ] as [string, Fields][])("%s", (_, rest) => {
    expect(judge(TAGGED, { ...TAGGED, ...rest })).toMatchObject({ reason: "not the requested range" });
  });

  test("that starts where the body ends", () => {
    const rest = { ...TAGGED, "content-range": "bytes 100-99/100" };
    expect(judge(TAGGED, rest, { total: undefined }).kind).toBe("unusable");
  });

  test.each(["gzip", "gzip, chunked", "chunked, gzip"])("with the transfer coding %s", (coding) => {
    const rest = { ...TAGGED, "transfer-encoding": coding };
    expect(judge(TAGGED, rest)).toMatchObject({ reason: "an unrequested transfer coding" });
    expect(judge(TAGGED, { ...TAGGED, "transfer-encoding": "Chunked" }).kind).toBe("rest");
  });

  test.each([200, 203, 301, 304, 404, 412, 416, 500])("with status %d", (status) => {
    expect(judge(TAGGED, TAGGED, { status })).toEqual({ kind: "unusable", reason: `status ${status}` });
  });

  test.each([
    ["another tag", { ...TAGGED, ...DATED }, { etag: '"b"', "last-modified": MONDAY }, "ETag"],
    ["the tag as a weak one", { ...TAGGED, ...DATED }, { etag: 'W/"a"', "last-modified": MONDAY }, "ETag"],
    ["two tags", TAGGED, { etag: ['"a"', '"b"'] }, "ETag"],
    ["another date", { ...TAGGED, "last-modified": MONDAY }, { ...TAGGED, "last-modified": TUESDAY }, "Last-Modified"],
    ["another type", { ...TAGGED, "content-type": "a/b" }, { ...TAGGED, "content-type": "text/html" }, "Content-Type"],
    ["a coding", TAGGED, { ...TAGGED, "content-encoding": "gzip" }, "Content-Encoding"],
    ["no coding", { ...TAGGED, "content-encoding": "gzip" }, TAGGED, "Content-Encoding"],
    [
      "another digest",
      { ...TAGGED, "repr-digest": "sha-256=:A:" },
      { ...TAGGED, "repr-digest": "sha-256=:B:" },
      "Repr-Digest",
    ],
    [
      "another old digest",
      { ...TAGGED, digest: "SHA-256=A, md5=x" },
      { ...TAGGED, digest: "md5=x,sha-256=B" },
      "Digest",
    ],
  ] as [string, Fields, Fields, string][])("with %s", (_, first, rest, field) => {
    expect(judge(first, rest)).toEqual({ kind: "unusable", reason: `another ${field} than in the first answer` });
  });

  test.each([
    ["no validator", TAGGED, {}],
    ["no date", DATED, {}],
    ["a tag that the first did not have", DATED, TAGGED],
    ["a date that is not strong", { ...TAGGED, "last-modified": MONDAY }, { "last-modified": MONDAY }],
    ["a date that is strong by itself alone", { ...TAGGED, "last-modified": MONDAY }, DATED],
  ] as [string, Fields, Fields][])("with %s in both", (_, first, rest) => {
    expect(judge(first, rest)).toEqual({ kind: "unusable", reason: "no strong validator in both" });
  });
});

/** Files that change while they are fetched, on servers that answer `Range` without knowing `If-Range`. */
describe("two answers are never mixed if the second one has", () => {
  test.each([
    ["another date", DATED, { ...DATED, "last-modified": TUESDAY }],
    ["another date and a tag", DATED, { ...DATED, "last-modified": TUESDAY, etag: '"new"' }],
    ["another date and no tag", { ...DATED, etag: '"old"' }, { ...DATED, "last-modified": TUESDAY }],
    ["the same tag and a coding", { etag: '"old"' }, { etag: '"old"', "content-encoding": "gzip" }],
  ] as [string, Fields, Fields][])("%s", (_, first, rest) => {
    expect(judge(first, rest).kind).toBe("unusable");
  });
});

describe("a host that wants to be left alone", () => {
  test.each([
    [429, {}, undefined],
    [503, {}, undefined],
    [503, { "retry-after": "7" }, 7000],
    [429, { "retry-after": new Date(NOW + 60_000).toUTCString() }, 60_000],
  ] as [429 | 503, Fields, number | undefined][])("by %d and %j", (status, rest, retryAfterMs) => {
    expect(judge(TAGGED, rest, { status })).toEqual({ kind: "refused", status, retryAfterMs });
  });
});
