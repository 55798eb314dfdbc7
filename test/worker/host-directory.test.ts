import { describe, expect, test } from "bun:test";
import type { WaitingHost, WaitingHostsPart } from "../../src/jobs/stores/queue-control.ts";
import { HostActivity } from "../../src/worker/hosts/host-activity.ts";
import { HostDirectory, type HostPosition, type HostQuery } from "../../src/worker/hosts/host-directory.ts";
import { HostGovernor } from "../../src/worker/hosts/host-governor.ts";
import { HostRules } from "../../src/worker/hosts/host-rules.ts";
import { FakeClock } from "../support/clock.ts";

const QUERY: HostQuery = { group: undefined, contains: "", sort: "waiting", limit: 50 };

/** A directory of hosts that wait in a queue, with the number of hosts that it has read from there. */
function setup(waits: readonly (readonly [string, number])[]) {
  const clock = new FakeClock();
  const rules = new HostRules({ maxConcurrency: 4, ratePerSecond: 0, breakerFailures: 3 });
  const governor = new HostGovernor({ rules, clock, onFree: () => {} });
  const activity = new HostActivity(clock);
  const running = new Map<string, number>();
  const order = waits.toSorted(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
  const read = { hosts: 0 };
  const control = {
    waitingHosts({ after, limit, contains = "" }: WaitingHostsPart) {
      const start = after === undefined ? 0 : order.findIndex(([host]) => host === after.host) + 1;
      const part = order.slice(start, start + limit);
      read.hosts += part.length;
      const [host, tasks] = part.at(-1) ?? ["", 0];
      const next: WaitingHost | undefined = start + limit < order.length ? { host, tasks } : undefined;
      return Promise.resolve({ hosts: new Map(part.filter(([name]) => name.includes(contains))), next });
    },
    waitingOf(hosts: readonly string[]) {
      read.hosts += hosts.length;
      return Promise.resolve(new Map(order.filter(([host]) => hosts.includes(host))));
    },
  };
  const directory = new HostDirectory({
    governor,
    activity,
    control,
    running: () => running,
    claimedAhead: () => 0,
  });
  const run = (host: string) => {
    governor.acquire(host);
    running.set(host, (running.get(host) ?? 0) + 1);
  };
  const all = async (query: Partial<HostQuery> = {}) => {
    const names: string[] = [];
    let most = 0;
    for (let from: HostPosition | undefined, isFirst = true; isFirst || from !== undefined; isFirst = false) {
      const before = read.hosts;
      const page = await directory.page({ ...QUERY, ...query }, from);
      most = Math.max(most, read.hosts - before);
      names.push(...page.hosts.map(({ host }) => host));
      from = page.next;
    }
    return { names, most };
  };
  return { clock, governor, activity, directory, run, all };
}

describe("the directory of hosts", () => {
  test("lists hosts with waiting tasks, running downloads or recent attempts, by the sort", async () => {
    const { activity, all, run } = setup([
      ["few.test", 1],
      ["many.test", 9],
    ]);
    for (const host of ["busy.test", "busy.test", "many.test"]) run(host);
    activity.note("done.test", "completed", 5);
    activity.note("bad.test", "failed", 0);
    const of = async (sort: HostQuery["sort"]) => (await all({ sort })).names;
    expect(await of("waiting")).toEqual(["many.test", "few.test", "busy.test", "bad.test", "done.test"]);
    expect(await of("running")).toEqual(["busy.test", "many.test", "few.test", "bad.test", "done.test"]);
    expect(await of("failed")).toEqual(["bad.test", "many.test", "few.test", "busy.test", "done.test"]);
    expect((await all({ contains: "y.t" })).names).toEqual(["many.test", "busy.test"]);
  });

  test("filters by state, and follows a deadline without an event", async () => {
    const { clock, governor, all } = setup([
      ["paused.test", 2],
      ["open.test", 3],
      ["broken.test", 4],
    ]);
    governor.acquire("slow.test");
    governor.complained("slow.test");
    for (let i = 0; i < 3; i++) governor.failed("broken.test");
    governor.throttled("paused.test", 60_000);
    const of = async (group: HostQuery["group"]) => (await all({ group })).names;
    expect(await of("closed")).toEqual(["broken.test", "paused.test"]);
    expect(await of("slowed")).toEqual(["slow.test"]);
    expect(await of("open")).toEqual(["open.test"]);
    await clock.advance(60_000);
    expect([await of("closed"), await of("slowed")]).toEqual([["broken.test"], ["paused.test", "slow.test"]]);
  });

  test("lists each of thousands of hosts once, and reads a bounded number of them for a page", async () => {
    const waiting = Array.from(
      { length: 2000 },
      (_, i) => [`w${String(i).padStart(4, "0")}.test`, 1 + (i % 7)] as const,
    );
    const { activity, all, governor, run } = setup(waiting);
    // Some are in memory alone, and some in both.
    for (let i = 0; i < 1000; i++) governor.throttled(`m${i}.test`, 60_000);
    for (let i = 0; i < 30; i++) run(`w${String(i * 60).padStart(4, "0")}.test`);
    activity.note("w1999.test", "completed", 1);
    const { names, most } = await all();
    expect(names.length).toBe(3000);
    expect(new Set(names).size).toBe(3000);
    expect(most).toBeLessThanOrEqual(600);
    const closed = await all({ group: "closed", limit: 200 });
    expect([new Set(closed.names).size, closed.names.length]).toEqual([1000, 1000]);
    expect(closed.most).toBeLessThanOrEqual(200);
  });

  test("finds a name that is given in full on the first page", async () => {
    const waiting = Array.from({ length: 2000 }, (_, i) => [`w${String(i).padStart(4, "0")}.test`, 1] as const);
    const { directory, all } = setup(waiting);
    const { hosts } = await directory.page({ ...QUERY, contains: "w1999.test" });
    expect(hosts).toMatchObject([{ host: "w1999.test", waiting: 1 }]);
    expect((await all({ contains: "w1999.test" })).names).toEqual(["w1999.test"]);
    expect((await all({ contains: "none.test" })).names).toEqual([]);
  });
});
