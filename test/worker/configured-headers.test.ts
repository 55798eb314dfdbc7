import { expect, test } from "bun:test";
import { ConfiguredHeaders } from "../../src/worker/configured-headers.ts";

const headers = new ConfiguredHeaders(
  new Map([
    ["api", { headers: { "X-Key": "of the handler" }, hosts: ["api.example.com", "*.cdn.example.com:8443"] }],
    ["tls", { headers: { "X-Key": "of the handler" }, hosts: ["api.example.com:443"] }],
  ]),
  { "*.example.com": { "x-key": "of the host", "X-Other": "1" }, "plain.example.com": {} },
);

test.each([
  ["api", "https://api.example.com/a", { "X-Key": "of the handler", "X-Other": "1" }],
  ["api", "http://api.example.com:81/a", { "X-Key": "of the handler", "X-Other": "1" }],
  ["other", "https://api.example.com/a", { "x-key": "of the host", "X-Other": "1" }],
  ["api", "https://a.cdn.example.com:8443/", { "X-Key": "of the handler", "X-Other": "1" }],
  ["api", "https://a.cdn.example.com/", { "x-key": "of the host", "X-Other": "1" }],
  ["tls", "https://api.example.com/", { "X-Key": "of the handler", "X-Other": "1" }],
  ["tls", "http://api.example.com/", { "x-key": "of the host", "X-Other": "1" }],
  ["api", "https://plain.example.com/", {}],
  ["api", "https://api.example.com.evil.test/", {}],
  ["api", "https://evil.test/?api.example.com", {}],
  ["api", "https://api.example.com@evil.test/", {}],
])("a job of %s gets at %s %j", (jobType, url, expected) => {
  expect(headers.for(jobType, new URL(url))).toEqual(expected);
});
