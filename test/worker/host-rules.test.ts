import { expect, test } from "bun:test";
import { HostRules } from "../../src/worker/hosts/host-rules.ts";

const limits = { maxConcurrency: 4, ratePerSecond: 0, breakerFailures: 20 };
const rules = new HostRules(limits, {
  "cdn.example.com": { maxConcurrency: 1 },
  "cdn.example.com:8443": { maxConcurrency: 2 },
  "*.example.com": { maxConcurrency: 3, ratePerSecond: 5 },
  "*.Deep.example.com": { maxConcurrency: 5 },
  "*.example.com:81": { maxConcurrency: 6 },
  "[::1]": { maxConcurrency: 7 },
});

test.each([
  ["cdn.example.com", 1],
  ["cdn.example.com:8443", 2],
  ["cdn.example.com:9", 1],
  ["www.example.com", 3],
  ["a.b.example.com", 3],
  ["a.deep.example.com", 5],
  ["deep.example.com", 3],
  ["www.example.com:81", 6],
  ["cdn.example.com:81", 6],
  ["example.com", 4],
  ["badexample.com", 4],
  ["example.com.evil.test", 4],
  ["[::1]", 7],
  ["[::1]:8080", 7],
  ["127.0.0.1:80", 4],
  ["localhost", 4],
])("%s has its rule", (host, concurrency) => {
  expect(rules.limitsOf(host).maxConcurrency).toBe(concurrency);
});

test("a limit that a rule leaves out is the general one", () => {
  expect(rules.limitsOf("www.example.com")).toEqual({ maxConcurrency: 3, ratePerSecond: 5, breakerFailures: 20 });
});
