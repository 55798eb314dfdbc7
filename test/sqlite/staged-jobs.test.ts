import { describe, expect, test } from "bun:test";
import { newJob, newTasks } from "../support/sample-jobs.ts";
import { countedUntil, openTestStores, type TestStores } from "../support/stores.ts";
import { expectTrueCounters } from "./recount.ts";

const countOf = (stores: TestStores, table: string) =>
  stores.read<{ n: number }>("queue", `SELECT count(*) AS n FROM ${table}`)[0]?.n;
const hostNames = (count: number) => Array.from({ length: count }, (_, i) => `h${i}.test`);

describe("a staged job", () => {
  test("goes a thousand tasks at a time, with turns of the event loop between, by unstage and at the start", async () => {
    await using stores = openTestStores();
    const job = newJob();
    const staged = await stores.now(stores.queue.acceptor.stage(job, newTasks(3500, hostNames(3500))));
    const left = await countedUntil(stores, "tasks", stores.queue.acceptor.unstage(staged));
    expect(left).toEqual([3500, 2500, 1500, 500, 0]);
    expect([countOf(stores, "jobs"), countOf(stores, "lanes")]).toEqual([0, 0]);
    await stores.now(stores.queue.acceptor.stage(job, newTasks(2500)));
    stores.crash();
    expect(
      await countedUntil(
        stores,
        "tasks",
        stores.queue.recover(() => Promise.resolve()),
      ),
    ).toEqual([2500, 1500, 500, 0]);
    await expectTrueCounters(stores);
  });

  test("that is removed in part when the process dies is sound, and swept", async () => {
    await using stores = openTestStores();
    const staged = await stores.now(stores.queue.acceptor.stage(newJob(), newTasks(1500, hostNames(3))));
    const removal = stores.queue.acceptor.unstage(staged);
    removal.catch(() => {});
    stores.queue.flush();
    stores.crash();
    expect(countOf(stores, "tasks")).toBe(500);
    await expectTrueCounters(stores);
    await stores.queue.recover(() => Promise.resolve());
    expect([countOf(stores, "jobs"), countOf(stores, "tasks"), countOf(stores, "lanes")]).toEqual([0, 0, 0]);
  });
});
