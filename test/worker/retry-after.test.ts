import { expect, test } from "bun:test";
import { retryAfterMs } from "../../src/net/retry-after.ts";

const NOW = Date.UTC(1994, 10, 6, 8, 49, 0);

test.each([
  ["0", 0],
  ["1", 1000],
  [" 120 ", 120_000],
  ["0010", 10_000],
  ["9999999999", 9_999_999_999_000],
  ["Sun, 06 Nov 1994 08:49:37 GMT", 37_000],
  ["Sunday, 06-Nov-94 08:49:37 GMT", 37_000],
  ["Sun Nov  6 08:49:37 1994", 37_000],
  ["Sun, 06 Nov 1994 08:48:00 GMT", 0],
])("%p is a wait", (header, ms) => {
  expect(retryAfterMs(header, NOW)).toBe(ms);
});

test.each([
  [null],
  [""],
  ["soon"],
  ["-1"],
  ["1.5"],
  ["1e3"],
  ["0x10"],
  ["99999999999"],
  ["1, 2"],
  ["1994-11-06T08:49:37Z"],
  ["Sun, 99 Nov 1994 08:49:37 GMT"],
  ["in 1994"],
])("%p is not understood", (header) => {
  expect(retryAfterMs(header, NOW)).toBeUndefined();
});

test("a date means GMT in every time zone", () => {
  const script = `import { retryAfterMs } from "${import.meta.dir}/../../src/net/retry-after.ts";
    console.log(retryAfterMs("Sun Nov  6 08:49:37 1994", ${NOW}))`;
  const run = Bun.spawnSync([process.execPath, "-e", script], { env: { TZ: "Asia/Tokyo" } });
  expect(run.stdout.toString().trim()).toBe("37000");
});
