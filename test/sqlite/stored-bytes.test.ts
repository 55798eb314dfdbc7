import { expect, test } from "bun:test";
import { join } from "node:path";
import type { ClaimedTask, Task } from "../../src/jobs/task.ts";
import type { Verdict } from "../../src/jobs/verdict.ts";
import { decodeHistory, decodeTask, encodeHistory, encodeTask } from "../../src/sqlite/task-codec.ts";
import {
  acceptance,
  attempt,
  claimAll,
  complete,
  discard,
  newJob,
  newTasks,
  result,
  settle,
} from "../support/sample-jobs.ts";
import { openTestStores, type TestStores } from "../support/stores.ts";

/** One line for each stored message, in hex. Stores of earlier builds hold these bytes, so no line may change. */
const STORED = join(import.meta.dir, "stored-bytes.txt");

const whole: Task = {
  resourceId: "whole",
  url: "https://a.test/ä?x=\u{1f600}",
  headers: JSON.parse('{"__proto__": "a", "X-Empty": "", "7": "b"}'),
  tags: { project: "p", "x y": "é" },
  bucket: "artifacts",
  key: "resources/whole",
  checksum: "md5:00",
  size: 0,
  contentType: "image/*",
  rejectHtml: true,
  proxyPool: "pool",
  attributes: { metadata: { a: "ä%", b: "" }, tags: { t: "u" }, class: "STANDARD_IA" },
};
const wholeAttempt = { ...attempt, address: "::1", proxy: "http://p.test", bytes: 12, bodyStart: "00ff" };
const retry: Verdict = { kind: "retry", attempt: wholeAttempt, availableAt: 5 };
const encoded: Verdict = { kind: "complete", result: { ...result, contentEncoding: "gzip, br" } };

async function settleAll(stores: TestStores, claimed: ClaimedTask[], verdicts: readonly Verdict[]): Promise<void> {
  expect(claimed.length).toBe(verdicts.length);
  for (const [at, task] of claimed.entries()) await settle(stores, task, verdicts[at] ?? complete);
}

/** Stores in which every kind of event was committed, each commit with fixed values. */
async function storesWithEveryEvent(): Promise<TestStores> {
  const stores = openTestStores();
  const [jobId, manifestUrl] = ["0198c0de-0000-7000-8000-000000000001", "s3://artifacts/manifests/default/1.json"];
  const job = newJob({ jobId, manifestUrl, tenant: "t", priority: "high", createdAt: stores.clock.now() });
  const idempotency = { key: "k", fingerprint: new Uint8Array(32), answer: "{}" };
  await stores.now(stores.queue.acceptor.accept(acceptance([whole, ...newTasks(3)], { job, idempotency })));
  await settleAll(stores, await claimAll(stores), [retry, encoded, discard, complete]);
  await settleAll(stores, await claimAll(stores), [discard]);
  const [first, second] = await stores.stores.deadLetters.full({}, Number.MAX_SAFE_INTEGER, 10);
  if (first === undefined || second === undefined) throw new Error("too few dead letters");
  const { task: id, contents: task, history } = first;
  await stores.now(stores.queue.deadLetters.replay([{ id, task, history, availableAt: 7 }]));
  await stores.now(stores.queue.deadLetters.discard([{ id: second.task, resourceId: second.resourceId }], "given_up"));
  const claimed = await claimAll(stores);
  await stores.now(stores.queue.cancellations.request(jobId));
  await settleAll(stores, claimed, [{ kind: "cancel" }]);
  return stores;
}

const stored = async () => (await Bun.file(STORED).text()).trimEnd().split("\n");

test("messages have the bytes that earlier builds stored", async () => {
  await using stores = await storesWithEveryEvent();
  const batches = stores.read<{ batch: Uint8Array }>("queue", "SELECT batch FROM outbox ORDER BY seq");
  const messages = [encodeTask(whole), encodeHistory([attempt, wholeAttempt]), ...batches.map(({ batch }) => batch)];
  expect(messages.map((message) => Buffer.from(message ?? []).toString("hex"))).toEqual(await stored());
});

test("a task and a history that earlier builds stored are read", async () => {
  const [task = "", history = ""] = await stored();
  expect(decodeTask(Buffer.from(task, "hex"))).toEqual(whole);
  expect(decodeHistory(Buffer.from(history, "hex"))).toEqual([attempt, wholeAttempt]);
});

test("nothing of a task's contents stays in queue.db once it has ended", async () => {
  for (const verdict of [complete, discard, { kind: "cancel" }] as const) {
    await using stores = openTestStores();
    const tasks = newTasks(1).map((task) => ({ ...task, headers: { Cookie: "secret" } }));
    await stores.now(stores.queue.acceptor.accept(acceptance(tasks)));
    const secrets = () => stores.read("queue", "SELECT id FROM tasks WHERE instr(payload, 'secret') > 0").length;
    const [before, [claimed]] = [secrets(), await claimAll(stores)];
    if (claimed === undefined) throw new Error("no task was claimed");
    await settle(stores, claimed, verdict);
    expect([before, secrets()]).toEqual([1, 0]);
    expect(stores.read("queue", "SELECT length(payload) AS size, history FROM tasks")).toEqual([
      { size: 0, history: null },
    ]);
  }
});
