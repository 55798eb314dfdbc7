import { expect, test } from "bun:test";
import { setImmediate } from "node:timers/promises";
import { LaneReader } from "../../src/dispatch/lane-reader.ts";
import { Lanes } from "../../src/dispatch/lanes.ts";
import type { Lane } from "../../src/jobs/lane.ts";
import { claimAll, release } from "../support/sample-jobs.ts";
import { BrokerRig } from "./broker-rig.ts";

type Late = PromiseWithResolvers<Lane[]>;

const MINUTE_MS = 60_000;
const ids = (tasks: readonly { readonly id: number }[]) => tasks.map(({ id }) => id);

test("a lane that changes while its page is read keeps its newer state", async () => {
  await using rig = new BrokerRig();
  await rig.accept(2, ["a.test"]);
  const [claimed] = await claimAll(rig.stores, 1);
  if (claimed === undefined) throw new Error("no task was claimed");
  const due = rig.stores.clock.steady() + MINUTE_MS;
  rig.stores.tamper("queue", `UPDATE tasks SET available_at = ${due} WHERE available_at IS NOT NULL`);
  rig.stores.tamper("queue", `UPDATE lanes SET next_due = ${due}`);
  // The host is left alone, so that nobody claims from the lane meanwhile, which would correct it.
  rig.governor.throttle("a.test", 10_000);
  const page = Promise.withResolvers<void>();
  rig.lateLanes = page.promise;
  rig.broker.start();
  await rig.settleDown();
  await rig.stores.now(rig.stores.queue.settlements.settle({ claimed, verdict: release }));
  page.resolve();
  await rig.settleDown();
  await rig.advance(11_000);
  expect(ids(await rig.work())).toEqual([claimed.id]);
});

test("the broker sleeps while a page is being read", async () => {
  await using rig = new BrokerRig({ windowSize: 4000, channelSize: 4000 });
  await rig.accept(
    600,
    Array.from({ length: 600 }, (_, at) => `h${at}.test`),
  );
  const page = Promise.withResolvers<void>();
  rig.onLanes = () => {
    if (rig.pages === 2) rig.lateLanes = page.promise;
  };
  rig.broker.start();
  await rig.settleDown();
  expect(rig.pages).toBe(2);
  const before = rig.pumps();
  await rig.advance(2000);
  expect(rig.pumps() - before).toBeLessThan(10);
  page.resolve();
  await rig.settleDown();
  expect((await rig.take()).length).toBe(600);
});

test.each([
  ["page", (page: Late, lanes: Lane[]) => page.resolve(lanes)],
  ["error", (page: Late) => page.reject(new Error("the store is closed"))],
] as const)("a %s that comes after a stop is dropped", async (_, arrive) => {
  await using rig = new BrokerRig();
  await rig.accept(3, ["a.test"]);
  const page: Late = Promise.withResolvers<Lane[]>();
  const errors: unknown[] = [];
  const lanes = new Lanes();
  const reader = new LaneReader({
    source: { lanes: () => page.promise },
    lanes,
    clock: rig.stores.clock,
    onPage: () => errors.push("a page"),
    onError: (error) => errors.push(error),
  });
  reader.restart();
  reader.stop();
  arrive(page, await rig.stores.queue.source.lanes(10));
  await setImmediate();
  expect([lanes.size, errors]).toEqual([0, []]);
});
