import { expect, test } from "bun:test";
import { setImmediate } from "node:timers/promises";
import { LaneReader } from "../../src/dispatch/lane-reader.ts";
import { Lanes } from "../../src/dispatch/lanes.ts";
import type { Lane } from "../../src/jobs/lane.ts";
import { acceptance, newJob, newTasks } from "../support/sample-jobs.ts";
import { openTestStores, type TestStores } from "../support/stores.ts";

/** A reader on a real queue. */
class ReaderRig implements AsyncDisposable {
  readonly stores: TestStores = openTestStores();
  readonly lanes = new Lanes();
  readonly errors: unknown[] = [];
  /** Sizes of the pages that were read. */
  readonly pages: number[] = [];
  error: Error | undefined;
  readonly reader: LaneReader = new LaneReader({
    source: {
      lanes: async (limit, after) => {
        if (this.error !== undefined) throw this.error;
        const page = await this.stores.queue.source.lanes(limit, after);
        this.pages.push(page.length);
        return page;
      },
    },
    lanes: this.lanes,
    clock: this.stores.clock,
    onPage: () => {},
    onError: (error) => this.errors.push(error),
  });

  async accept(hosts: readonly string[]): Promise<void> {
    const job = newJob({ createdAt: this.stores.clock.now() });
    const { acceptor } = this.stores.queue;
    await this.stores.now(acceptor.accept(acceptance(newTasks(hosts.length, hosts), { job })));
  }

  /** Lets a sweep read until it stops. */
  async settle(): Promise<void> {
    for (let before = -1; before < this.pages.length; ) {
      before = this.pages.length;
      for (let turn = 0; turn < 3; turn++) await setImmediate();
    }
  }

  /** Lanes of the queue, without any bound. */
  all(): Promise<Lane[]> {
    return this.stores.queue.source.lanes(1_000_000);
  }

  /** The tasks of some lanes in memory end. */
  async end(count: number): Promise<void> {
    const known = (await this.all()).filter(({ id }) => this.lanes.has(id));
    for (const lane of known.slice(0, count)) {
      this.stores.tamper("queue", `DELETE FROM lanes WHERE id = ${lane.id}`);
      this.lanes.set({ ...lane, waiting: 0 }, this.stores.clock.steady());
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.reader.stop();
    await this.stores[Symbol.asyncDispose]();
  }
}

const hosts = (count: number, name = "h") => Array.from({ length: count }, (_, at) => `${name}${at}.test`);

test("a sweep stops where the memory is nearly full, and continues there once few lanes are left", async () => {
  await using rig = new ReaderRig();
  await rig.accept(hosts(4500));
  rig.reader.restart();
  await rig.settle();
  expect([rig.lanes.size, rig.pages.length]).toEqual([4000, 8]);
  rig.reader.continue(true);
  await rig.settle();
  expect(rig.pages.length).toBe(8);
  await rig.end(1600);
  rig.reader.continue(false);
  await rig.settle();
  expect([rig.lanes.size, (await rig.all()).length, rig.pages.length]).toEqual([2900, 2900, 10]);
  expect(rig.reader.dueAt).toBeUndefined();
});

test("a sweep that finds no room for more of one host ends, and the next one does not hurry", async () => {
  await using rig = new ReaderRig();
  await rig.accept(["other.test"]);
  for (let job = 0; job < 400; job++) await rig.accept(["dead.test"]);
  rig.reader.restart();
  await rig.settle();
  expect(rig.lanes.size).toBe(257);
  rig.reader.continue(true);
  await rig.settle();
  const pages = rig.pages.length;
  for (let i = 0; i < 50; i++) rig.reader.continue(true);
  await rig.settle();
  expect(rig.pages.length).toBe(pages);
  expect(rig.reader.dueAt).toBe(rig.stores.clock.steady() + 250);
  await rig.end(130);
  rig.reader.continue(true);
  await rig.settle();
  expect(rig.lanes.size).toBe(257 - 1);
  await rig.stores.clock.advance(250);
  rig.reader.continue(false);
  await rig.settle();
  expect(rig.pages.length).toBeGreaterThan(pages);
});

test("lanes that are not due are read when the first of them is due", async () => {
  await using rig = new ReaderRig();
  await rig.accept(hosts(700));
  const due = rig.stores.clock.steady() + 60_000;
  rig.stores.tamper("queue", `UPDATE lanes SET next_due = ${due}`);
  rig.reader.restart();
  await rig.settle();
  expect([rig.lanes.size, rig.pages]).toEqual([500, [500]]);
  rig.reader.continue(true);
  await rig.settle();
  expect([rig.pages.length, rig.reader.dueAt]).toEqual([1, due]);
  await rig.stores.clock.advance(60_000);
  rig.reader.continue(false);
  await rig.settle();
  expect(rig.lanes.size).toBe(700);
});

test("a page that cannot be read is reported, and a restart reads again", async () => {
  await using rig = new ReaderRig();
  await rig.accept(hosts(3));
  rig.error = new Error("disk I/O error");
  rig.reader.restart();
  await rig.settle();
  expect(rig.errors).toEqual([rig.error]);
  rig.error = undefined;
  rig.reader.restart();
  await rig.settle();
  expect(rig.lanes.size).toBe(3);
});
