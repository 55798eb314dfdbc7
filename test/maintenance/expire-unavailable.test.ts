import { expect, test } from "bun:test";
import { ExpireUnavailableHosts } from "../../src/maintenance/expire-unavailable.ts";
import { HostGovernor } from "../../src/worker/hosts/host-governor.ts";
import { HostRules } from "../../src/worker/hosts/host-rules.ts";
import { withLateRead } from "../support/late-read.ts";
import { acceptance, newJob, newTasks } from "../support/sample-jobs.ts";
import { openTestStores, type TestStores } from "../support/stores.ts";

const HOST = "dead.test";
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/**
 * Tasks for a host that has just stopped answering, and a look for those that wait too long, as it is done each 5 s.
 */
async function setup(stores: TestStores, whileReading: (governor: HostGovernor) => void = () => {}) {
  const { clock, queue } = stores;
  const rules = new HostRules({ maxConcurrency: 4, ratePerSecond: 0, breakerFailures: 3 });
  const governor = new HostGovernor({ rules, clock, onFree: () => {} });
  const source = withLateRead(queue.source, "lanesAfter", () => whileReading(governor));
  const discarded: number[] = [];
  const expireUnavailable = new ExpireUnavailableHosts({
    queue: { source, control: queue.control },
    unavailable: (ms) => governor.unavailable(ms),
    settle: (settlement) => {
      discarded.push(settlement.claimed.id);
      return queue.settlements.settle(settlement).then(() => {});
    },
    maxThrottleMs: HOUR_MS,
    clock,
  });
  for (let i = 0; i < 3; i++) governor.failed(HOST);
  const submit = () => {
    const job = newJob({ createdAt: clock.now() });
    return stores.now(queue.acceptor.accept(acceptance(newTasks(2, [HOST]), { job })));
  };
  await submit();
  /** Lets time pass, runs a round, and resolves to the number of discarded tasks. */
  const after = async (ms: number) => {
    await clock.advance(ms);
    await expireUnavailable.run(new AbortController().signal);
    return discarded.length;
  };
  const pause = async (ms: number) => {
    await stores.now(queue.control.setPaused(true));
    const during = await after(ms);
    governor.resumed(await stores.now(queue.control.setPaused(false)));
    return during;
  };
  return { governor, submit, after, pause };
}

test("a task that waits for a host without an answer is discarded after its time", async () => {
  await using stores = openTestStores();
  const { after } = await setup(stores);
  expect(await after(HOUR_MS - 1)).toBe(0);
  expect(await after(1)).toBe(2);
});

test("no task is discarded whose host comes back while the lanes are read", async () => {
  await using stores = openTestStores();
  const { after } = await setup(stores, (governor) => governor.answered(HOST));
  expect(await after(HOUR_MS)).toBe(0);
});

test("no task is discarded while the queue is paused, and the pause does not count", async () => {
  await using stores = openTestStores();
  const { after, pause } = await setup(stores);
  expect(await after(30 * MINUTE_MS)).toBe(0);
  expect(await pause(5 * HOUR_MS)).toBe(0);
  expect(await after(30 * MINUTE_MS - 1)).toBe(0);
  expect(await after(1)).toBe(2);
});

test("what came in a pause has its time from the pause's end", async () => {
  await using stores = openTestStores();
  const { submit, after } = await setup(stores);
  await after(30 * MINUTE_MS);
  await stores.now(stores.queue.control.setPaused(true));
  await after(4 * HOUR_MS);
  await submit();
  await after(MINUTE_MS);
  await stores.now(stores.queue.control.setPaused(false));
  // The host is known not to answer since long before; each task still has its hour.
  expect(await after(HOUR_MS - 1)).toBe(2);
  expect(await after(1)).toBe(4);
});

test("a pause that a restart falls into counts as one", async () => {
  await using stores = openTestStores();
  const { governor } = await setup(stores);
  const since = stores.clock.steady() - (governor.unavailable(0).get(HOST) ?? Number.NaN);
  await stores.now(stores.queue.hosts.note(() => governor.takeChanges()));
  await stores.now(stores.queue.control.setPaused(true));
  await stores.clock.advance(2 * HOUR_MS);
  stores.crash();
  await stores.clock.advance(HOUR_MS);
  await stores.queue.recover(() => Promise.resolve());
  await stores.clock.advance(HOUR_MS);
  expect(await stores.now(stores.queue.control.setPaused(false))).toBe(4 * HOUR_MS);
  expect((await stores.queue.hosts.known())[0]?.unavailableSince).toBe(since + 4 * HOUR_MS);
});
