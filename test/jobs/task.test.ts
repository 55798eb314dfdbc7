import { expect, test } from "bun:test";
import { ATTEMPTS_KEPT_MAX, type AttemptRecord, hostOf, withAttempt } from "../../src/jobs/task.ts";

const attemptAt = (startedAt: number): AttemptRecord => ({
  startedAt,
  durationMs: 1,
  code: "DOWNLOAD_RESET",
  message: "",
  bytes: 0,
});

test("a host is the URL's name and port, in one spelling", () => {
  const rows = [
    ["http://Example.COM/a", "example.com"],
    ["http://example.com:80/a", "example.com"],
    ["https://example.com:443/", "example.com"],
    ["https://example.com:80/", "example.com:80"],
    ["http://user:secret@example.com:8080/", "example.com:8080"],
    ["http://[::1]:81/", "[::1]:81"],
    ["http://0x7f.1/", "127.0.0.1"],
    ["http://bücher.example/", "xn--bcher-kva.example"],
  ];
  expect(rows.map(([url = ""]) => hostOf(url))).toEqual(rows.map(([, host = ""]) => host));
});

test("a history keeps the first attempt and the latest, at most twenty", () => {
  let history: readonly AttemptRecord[] = [];
  for (let i = 1; i <= 100; i++) {
    history = withAttempt(history, attemptAt(i));
    expect(history.length).toBe(Math.min(i, ATTEMPTS_KEPT_MAX));
    expect([history[0]?.startedAt, history.at(-1)?.startedAt]).toEqual([1, i]);
  }
  expect(history.map(({ startedAt }) => startedAt)).toEqual([1, ...Array.from({ length: 19 }, (_, i) => 82 + i)]);
});

test("adding to a history leaves the old one as it was", () => {
  const before = [attemptAt(1)];
  withAttempt(before, attemptAt(2));
  expect(before.length).toBe(1);
});
