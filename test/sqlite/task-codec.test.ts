import { expect, test } from "bun:test";
import type { Task } from "../../src/jobs/task.ts";
import { decodeHistory, decodeTask, encodeHistory, encodeTask } from "../../src/sqlite/task-codec.ts";
import { attempt } from "../support/sample-jobs.ts";

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
  [
    "with what is kept with its object",
    { ...plain, attributes: { metadata: { a: "ä%", b: "" }, tags: { "x y": "é" }, class: "STANDARD_IA" } },
  ],
  ["with a storage class alone", { ...plain, attributes: { class: "COLD" } }],
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

test("a task that an older version wrote is read, and nothing is kept with its object", () => {
  const payload =
    "0a0172120f68747470733a2f2f612e746573742f1a060a014112016222060a01631201642a016232016b3a066d64353a3030" +
    "410000000000001c404a032a2f2a50015a0170";
  expect(decodeTask(Buffer.from(payload, "hex"))).toEqual({
    resourceId: "r",
    url: "https://a.test/",
    headers: { A: "b" },
    tags: { c: "d" },
    bucket: "b",
    key: "k",
    checksum: "md5:00",
    size: 7,
    contentType: "*/*",
    rejectHtml: true,
    proxyPool: "p",
  });
});

test("attempts come back as they were, and none as nothing", () => {
  const history = [attempt, { ...attempt, address: "::1", proxy: "http://p", bodyStart: "00ff" }];
  expect(decodeHistory(encodeHistory(history))).toEqual(history);
  expect([encodeHistory([]), decodeHistory(null)]).toEqual([null, []]);
});
