import { expect, test } from "bun:test";
import { contentCodings } from "../../src/net/content-coding.ts";

test.each<[string | undefined, string | undefined]>([
  [undefined, undefined],
  ["", undefined],
  [" ", undefined],
  [",", undefined],
  ["identity", undefined],
  ["Identity, IDENTITY", undefined],
  ["gzip", "gzip"],
  ["GZip", "gzip"],
  ["x-gzip", "x-gzip"],
  [" gzip\t", "gzip"],
  ["gzip, br", "gzip, br"],
  ["gzip,br", "gzip, br"],
  ["gzip \t ,, br,", "gzip, br"],
  ["identity, gzip", "gzip"],
  ["gzip, gzip", "gzip, gzip"],
  ["aws-chunked", "aws-chunked"],
  ["gzip br", undefined],
  ["gzip;q=1", undefined],
  ["gzip, b\u00e9", undefined],
  ["gzip\u00a0", undefined],
  ["gzip\r\nx: y", undefined],
  ["gz\u0000ip", undefined],
  ["\u212a", undefined],
  ["x".repeat(100), "x".repeat(100)],
  ["x".repeat(101), undefined],
  [`gzip${" ".repeat(97)}`, undefined],
  // As it would be written: 50 names and 49 times ", ".
  ["x,".repeat(50), undefined],
])("the codings of %j are %p", (header, codings) => {
  expect(contentCodings(header)).toBe(codings as string);
  if (codings !== undefined) expect(contentCodings(codings)).toBe(codings);
});
