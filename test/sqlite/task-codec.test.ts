import { expect, test } from "bun:test";
import type { Task } from "../../src/jobs/task.ts";
import { decodeHistory, decodeTask, encodeHistory, encodeTask } from "../../src/sqlite/task-codec.ts";
import { attempt } from "./sample-jobs.ts";

const plain: Task = {
  resourceId: "r",
  url: "https://a.test/ä?x=\u{1f600}",
  headers: {},
  tags: {},
  bucket: "b",
  key: "k",
  rejectHtml: false,
};

test.each<[string, Task]>([
  ["with the least", plain],
  ["with everything", { ...plain, checksum: "md5:00", size: 0, contentType: "*/*", rejectHtml: true, proxyPool: "p" }],
  ["of the largest size", { ...plain, size: Number.MAX_SAFE_INTEGER }],
  [
    "with headers and tags of any name",
    { ...plain, headers: JSON.parse('{"__proto__": "a", "constructor": ""}'), tags: { 7: "b" } },
  ],
])("a task %s comes back as it was", (_, task) => {
  const decoded = decodeTask(encodeTask(task));
  expect(decoded).toEqual(task);
  expect(Object.entries(decoded.headers ?? {})).toEqual(Object.entries(task.headers ?? {}));
});

test("attempts come back as they were, and none as nothing", () => {
  const history = [attempt, { ...attempt, address: "::1", proxy: "http://p", bodyStart: "00ff" }];
  expect(decodeHistory(encodeHistory(history))).toEqual(history);
  expect([encodeHistory([]), decodeHistory(null)]).toEqual([null, []]);
});
