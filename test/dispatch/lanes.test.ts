import { describe, expect, test } from "bun:test";
import { Lanes, type Limits } from "../../src/dispatch/lanes.ts";
import type { Priority } from "../../src/jobs/job.ts";
import type { Lane } from "../../src/jobs/lane.ts";
import { newJob } from "../sqlite/sample-jobs.ts";

const NOW = 1000;
const FREE: Limits = { ofHost: () => 1_000_000, ofBucket: () => 1_000_000 };
const UNLIMITED = FREE.ofBucket;

interface Sample extends Partial<Omit<Lane, "job">> {
  readonly job?: number;
  readonly priority?: Priority;
}

let serial = 0;
function lane({ job = ++serial, priority = "normal", ...more }: Sample = {}): Lane {
  return {
    id: ++serial,
    job: { ...newJob({ priority }), seq: job },
    host: "a.test",
    bucket: "artifacts",
    waiting: 1_000_000,
    nextDue: NOW,
    ...more,
  };
}

function lanesOf(...list: readonly Lane[]): Lanes {
  const lanes = new Lanes();
  for (const each of list) lanes.set(each, NOW);
  return lanes;
}

const sum = (chosen: ReadonlyMap<number, number>) => [...chosen.values()].reduce((a, b) => a + b, 0);
const counts = (chosen: ReadonlyMap<number, number>, list: readonly Lane[]) =>
  list.map(({ id }) => chosen.get(id) ?? 0);

/** What many choices of `count` give each lane, in all. */
function chooseMany(lanes: Lanes, list: readonly Lane[], times: number, count: number, limits: () => Limits): number[] {
  const totals = list.map(() => 0);
  for (let i = 0; i < times; i++) {
    const chosen = lanes.choose(count, limits(), NOW);
    for (const [at, n] of counts(chosen, list).entries()) totals[at] = (totals[at] ?? 0) + n;
  }
  return totals;
}

test("the probes of a closed bucket are of one job after the other, whatever their weights", () => {
  const list = [lane({ priority: "high" }), lane(), lane()];
  const lanes = lanesOf(...list);
  const probe = { ofHost: FREE.ofHost, ofBucket: () => 1 };
  const probed = Array.from({ length: 6 }, () =>
    [...lanes.choose(64, probe, NOW).keys()].map((id) => list.findIndex((each) => each.id === id)),
  );
  expect(probed).toEqual([[0], [1], [2], [0], [1], [2]]);
});

describe("jobs take turns", () => {
  const three = () => (["high", "normal", "low"] as const).map((priority) => lane({ priority }));

  test("weighted by priority, 16 : 4 : 1", () => {
    const list = three();
    expect(counts(lanesOf(...list).choose(840, FREE, NOW), list)).toEqual([640, 160, 40]);
  });

  for (const count of [1, 5, 8, 32, 64]) {
    test(`in the same measure when ${count} are chosen at a time`, () => {
      const list = three();
      const totals = chooseMany(lanesOf(...list), list, 840, count, () => FREE);
      expect(totals.map((n) => Math.round(n / (count * 40)))).toEqual([16, 4, 1]);
    });

    test(`in the same measure when their one host has room for ${count} at a time`, () => {
      const list = three();
      const limits = () => ({ ofHost: () => count, ofBucket: UNLIMITED });
      const totals = chooseMany(lanesOf(...list), list, 840, 64, limits);
      expect(totals.map((n) => Math.round(n / (count * 40)))).toEqual([16, 4, 1]);
    });
  }

  test("in the same measure at a busy host while another job has a free one", () => {
    const list = three();
    const other = lane({ host: "free.test" });
    const limits = () => ({ ofHost: (host: string) => (host === "a.test" ? 1 : 100), ofBucket: UNLIMITED });
    const totals = chooseMany(lanesOf(...list, other), list, 840, 64, limits);
    expect(totals).toEqual([640, 160, 40]);
  });

  test("evenly where they are alike, whatever their sizes", () => {
    const list = [lane({ waiting: 100_000 }), lane({ waiting: 10 }), lane({ waiting: 100_000 })];
    expect(counts(lanesOf(...list).choose(78, FREE, NOW), list)).toEqual([36, 10, 32]);
  });

  test("so that ten tasks are chosen soon, however many another job has and however many hosts", () => {
    const large = Array.from({ length: 500 }, (_, i) => lane({ job: 1, host: `h${i}.test`, waiting: 200 }));
    const lanes = lanesOf(...large);
    lanes.choose(64, FREE, NOW);
    const small = lane({ job: 2, waiting: 10 });
    lanes.set(small, NOW);
    expect(lanes.choose(32, FREE, NOW).get(small.id)).toBe(10);
  });

  for (const [priority, weight] of [
    ["low", 4],
    ["normal", 16],
    ["high", 64],
  ] as const) {
    test(`of ${weight} for a ${priority} job with three hosts, evenly over them`, () => {
      const list = ["a", "b", "c"].map((host) => lane({ job: 1, priority, host: `${host}.test` }));
      const rival = lane({ job: 2, priority: "low" });
      const lanes = lanesOf(...list, rival);
      const chosen = lanes.choose(3 * (weight + 4), FREE, NOW);
      expect(counts(chosen, list)).toEqual([weight, weight, weight]);
      expect(chosen.get(rival.id)).toBe(12);
    });
  }
});

describe("a choice", () => {
  test("is bounded by the count, by what waits, and by the room of host and bucket", () => {
    const list = [
      lane({ host: "a.test", waiting: 3 }),
      lane({ host: "b.test", waiting: 50 }),
      lane({ host: "c.test", waiting: 50, bucket: "narrow" }),
    ];
    expect(sum(lanesOf(...list).choose(7, FREE, NOW))).toBe(7);
    const limits = {
      ofHost: (host: string) => (host === "b.test" ? 5 : 100),
      ofBucket: (bucket: string) => (bucket === "narrow" ? 2 : 100),
    };
    expect(counts(lanesOf(...list).choose(64, limits, NOW), list)).toEqual([3, 5, 2]);
  });

  test("takes a host's room once for all jobs, and a bucket's once for all hosts", () => {
    const list = [1, 2, 3].map((job) => lane({ job }));
    expect(sum(lanesOf(...list).choose(64, { ofHost: () => 4, ofBucket: UNLIMITED }, NOW))).toBe(4);
    const hosts = [1, 2, 3].map((job) => lane({ job, host: `h${job}.test` }));
    expect(sum(lanesOf(...hosts).choose(64, { ofHost: () => 4, ofBucket: () => 5 }, NOW))).toBe(5);
  });

  test("is empty where no host or no bucket has room, or less than none", () => {
    const lanes = lanesOf(lane(), lane({ host: "b.test" }));
    expect(lanes.choose(64, { ofHost: () => -3, ofBucket: UNLIMITED }, NOW).size).toBe(0);
    expect(lanes.choose(64, { ofHost: () => 3, ofBucket: () => -1 }, NOW).size).toBe(0);
    expect(sum(lanes.choose(64, FREE, NOW))).toBe(64);
  });

  test("counts what was chosen as gone until the lane is told of", () => {
    const one = lane({ waiting: 5 });
    const lanes = lanesOf(one);
    expect(sum(lanes.choose(3, FREE, NOW))).toBe(3);
    expect(sum(lanes.choose(64, FREE, NOW))).toBe(2);
    expect(lanes.choose(64, FREE, NOW).size).toBe(0);
    lanes.set({ ...one, waiting: 4 }, NOW);
    expect(sum(lanes.choose(64, FREE, NOW))).toBe(4);
    lanes.set({ ...one, waiting: 0 }, NOW);
    expect(lanes.size).toBe(0);
  });
});

describe("a lane with nothing due", () => {
  test("sleeps until it is due, and says when", () => {
    const later = lane({ nextDue: NOW + 500 });
    const lanes = lanesOf(later, lane({ nextDue: NOW + 900 }));
    expect(lanes.nextDue()).toBe(NOW + 500);
    expect(lanes.choose(64, FREE, NOW + 499).size).toBe(0);
    expect([...lanes.choose(64, FREE, NOW + 500).keys()]).toEqual([later.id]);
    expect(lanes.nextDue()).toBe(NOW + 900);
  });

  test("does not keep an alarm going for those that are due", () => {
    const lanes = lanesOf(lane(), lane({ host: "b.test" }));
    expect(lanes.nextDue()).toBeUndefined();
    lanes.choose(1, FREE, NOW);
    expect(lanes.nextDue()).toBeUndefined();
  });

  test("falls asleep and wakes as it is told", () => {
    const one = lane();
    const lanes = lanesOf(one);
    lanes.set({ ...one, nextDue: NOW + 50 }, NOW);
    expect(lanes.choose(64, FREE, NOW).size).toBe(0);
    lanes.set({ ...one, nextDue: NOW }, NOW);
    expect(sum(lanes.choose(64, FREE, NOW))).toBe(64);
  });

  test("can be dropped, the others stay", () => {
    const due = lane();
    const lanes = lanesOf(due, lane({ nextDue: NOW + 50 }));
    lanes.dropSleepers();
    expect([lanes.size, lanes.has(due.id), lanes.nextDue()]).toEqual([1, true, undefined]);
    expect(sum(lanes.choose(10, FREE, NOW))).toBe(10);
  });
});

test("lanes that come and go in any order leave nothing behind", () => {
  const list = Array.from({ length: 60 }, (_, i) => lane({ job: i % 7, host: `h${i % 5}.test`, waiting: 1 + (i % 3) }));
  const lanes = new Lanes();
  let total = 0;
  for (let round = 0; round < 40; round++) {
    for (const [i, each] of list.entries()) {
      const step = (i * 7 + round * 13) % 11;
      if (step < 3) lanes.set({ ...each, waiting: 0 }, NOW);
      else if (step < 8) lanes.set({ ...each, nextDue: NOW + (step - 5) * 10 }, NOW);
      if (step === 10)
        total += sum(lanes.choose(round % 9, { ofHost: () => 2, ofBucket: () => 6 }, NOW + (round % 20)));
    }
  }
  expect(total).toBeGreaterThan(100);
  for (const each of list) lanes.set(each, NOW);
  expect(sum(lanes.choose(1000, FREE, NOW + 1000))).toBe(list.reduce((all, { waiting }) => all + waiting, 0));
  for (const each of list) lanes.set({ ...each, waiting: 0 }, NOW);
  expect(lanes.size).toBe(0);
  expect(lanes.choose(1000, FREE, NOW + 1000).size).toBe(0);
});

/** Counts what a choice asks of the limits: it does so when it looks at a lane or a host. */
function counted(room: (host: string) => number) {
  const asked = { times: 0 };
  const limits: Limits = {
    ofHost: (host) => {
      asked.times++;
      return room(host);
    },
    ofBucket: UNLIMITED,
  };
  return { asked, limits };
}

describe("among a hundred thousand lanes", () => {
  const many = (more: Sample = {}) =>
    Array.from({ length: 100_000 }, (_, i) => lane({ job: 1, host: `h${i}.test`, waiting: 2, ...more }));

  test("a choice looks at those that it takes, and not at all of them", () => {
    const lanes = lanesOf(...many());
    const { asked, limits } = counted(() => 4);
    expect(sum(lanes.choose(128, limits, NOW))).toBe(128);
    expect(asked.times).toBe(128);
    expect(lanes.hasUnseen).toBe(false);
  });

  test("a choice that finds nothing stops early, and the next one goes on until all were seen", () => {
    const free = lane({ job: 1, host: "free.test" });
    const lanes = lanesOf(...many(), free);
    const { asked, limits } = counted((host) => (host === free.host ? 1 : 0));
    let rounds = 0;
    let chosen = lanes.choose(10, limits, NOW);
    for (; chosen.size === 0 && lanes.hasUnseen; chosen = lanes.choose(10, limits, NOW)) {
      rounds++;
      expect(asked.times).toBeLessThanOrEqual(2000);
      asked.times = 0;
    }
    expect([...chosen]).toEqual([[free.id, 1]]);
    expect(rounds).toBeGreaterThan(40);
    const none = counted(() => 0);
    for (rounds = 0; lanes.choose(10, none.limits, NOW).size === 0 && lanes.hasUnseen; ) rounds++;
    expect(rounds).toBeLessThan(110);
  });

  test("those of hosts that are left alone are not looked at again before long", () => {
    const lanes = lanesOf(...many());
    const { asked, limits } = counted(() => 0);
    const closed = { ...limits, closedFor: () => 60_000 };
    do lanes.choose(10, closed, NOW);
    while (lanes.hasUnseen);
    asked.times = 0;
    lanes.choose(10, closed, NOW + 4000);
    expect(asked.times).toBeLessThanOrEqual(1000);
    expect(lanes.nextDue()).toBe(NOW + 5000);
    expect(sum(lanes.choose(10, FREE, NOW + 5000))).toBe(10);
  });

  test("those that become due at once are woken by and by, and one that sleeps costs no more for the others", () => {
    const lanes = lanesOf(...many({ nextDue: NOW + 100 }));
    const { asked, limits } = counted(() => 1);
    expect(lanes.nextDue()).toBe(NOW + 100);
    lanes.choose(10, limits, NOW + 99);
    expect(asked.times).toBe(0);
    expect(sum(lanes.choose(10, limits, NOW + 100)) + sum(lanes.choose(10, limits, NOW + 100))).toBeGreaterThan(9);
    expect(asked.times).toBeLessThan(2100);
  });
});
