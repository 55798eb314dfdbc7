import { expect, test } from "bun:test";
import { publicUrl } from "../../src/net/public-url.ts";
import { urlForLog } from "../../src/telemetry/url-for-log.ts";

test.each([
  ["https://a.example/x?token=1#f", "https://a.example/x?token=1#f"],
  ["https://user:pass@a.example:81/x?y=1", "https://a.example:81/x?y=1"],
  ["http://user@a.example", "http://a.example/"],
  ["https://a.example/@me?mail=a@b", "https://a.example/@me?mail=a@b"],
  ["secret@", ""],
])("%s is served as %s", (url, served) => {
  expect(publicUrl(url)).toBe(served);
});

test.each([
  ["https://a.example/x", "https://a.example/x"],
  ["https://user:pass@a.example/x?token=abc&b=&c#secret", "https://a.example/x?token=***&b=***&***"],
  ["https://a.example/?a=1=2", "https://a.example/?a=***"],
  ["https://a.example/?", "https://a.example/"],
  ["no url", ""],
])("%s is logged as %s", (url, logged) => {
  expect(urlForLog(url)).toBe(logged);
});
