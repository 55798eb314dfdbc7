import { expect, test } from "bun:test";
import { BulkOperationRunner } from "../../src/operations/bulk-operation-runner.ts";
import { withLateRead } from "../support/late-read.ts";
import { claimedJob, discard, settle } from "../support/sample-jobs.ts";
import { openTestStores } from "../support/stores.ts";

test("an operation that is stopped while it reads changes no dead letter", async () => {
  await using stores = openTestStores();
  for (const task of await claimedJob(stores, 3)) await settle(stores, task, discard);
  const page = Promise.withResolvers<void>();
  const runner = new BulkOperationRunner({
    deadLetterChanges: stores.queue.deadLetters,
    deadLetters: withLateRead(stores.stores.deadLetters, "full", () => page.promise),
    clock: stores.clock,
    onQueueError: (error) => {
      throw error;
    },
    signal: new AbortController().signal,
  });
  const change = { kind: "give_up", overrides: {}, ratePerSecond: undefined } as const;
  const { id } = await stores.now(runner.begin({}, change));
  const stopped = runner.stop(id);
  page.resolve();
  expect(await stopped).toMatchObject({ state: "stopped", processed: 0, changed: 0 });
  expect(await stores.stores.deadLetters.size()).toBe(3);
});
