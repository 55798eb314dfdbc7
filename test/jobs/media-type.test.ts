import { expect, test } from "bun:test";
import { essenceOf, isHtml, matchesMediaType } from "../../src/net/media-type.ts";

test.each<[string, string | undefined]>([
  ["image/png", "image/png"],
  ["IMAGE/Png; charset=x", "image/png"],
  [" text/html ;", "text/html"],
  ["text/html; charset", "text/html"],
  ["text/html, image/png", "text/html"],
  ["application/vnd.api+json", "application/vnd.api+json"],
  ["", undefined],
  ["image", undefined],
  ["image/", undefined],
  ["/png", undefined],
  ["im age/png", undefined],
  ["image/png/x", undefined],
  ["image/png x", undefined],
])("the type of %j is %p", (text, essence) => {
  expect(essenceOf(text)).toBe(essence);
});

test.each<[string, string | undefined, boolean]>([
  ["image/png", "image/png", true],
  ["Image/PNG; q=1", "IMAGE/png; x=y", true],
  ["image/png", "image/jpeg", false],
  ["image/png", "xmage/png", false],
  ["image/*", "image/jpeg", true],
  ["image/*", "images/jpeg", false],
  ["*/json", "text/json", true],
  ["*/json", "application/ld+json", false],
  ["*/*", "a/b", true],
  ["*/*", undefined, true],
  ["*/*", "broken", true],
  ["image/*", undefined, false],
  ["image/*", "image", false],
  ["image/*", "", false],
])("%s is served as %p: %p", (wanted, served, expected) => {
  expect(matchesMediaType(wanted, served)).toBe(expected);
});

test.each<[string | undefined, boolean]>([
  ["text/html", true],
  ["TEXT/HTML;charset=utf-8", true],
  ["application/xhtml+xml", true],
  ["text/htmlx", false],
  ["text/plain; x=text/html", false],
  [undefined, false],
])("%p is HTML: %p", (served, expected) => {
  expect(isHtml(served)).toBe(expected);
});
