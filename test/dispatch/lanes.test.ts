import { describe, expect, test } from "bun:test";
import { LANES_MAX, Lanes, type Limits, LOOKS_MAX } from "../../src/dispatch/lanes.ts";
import type { Priority } from "../../src/jobs/job.ts";
import type { Lane } from "../../src/jobs/lane.ts";
import { newJob } from "../support/sample-jobs.ts";

const NOW = 1000;
const FREE: Limits = { ofHost: () => 1_000_000, ofBucket: () => 1_000_000, closedFor: () => 0 };

/** Tasks by lane that a choice brings, where limits that are not given are far away. */
function choose(lanes: Lanes, count: number, limits: Partial<Limits> = {}, now = NOW): Map<number, number> {
  const chosen = lanes.choose(count, { ...FREE, ...limits }, now);
  return new Map(chosen.map(({ lane: id, limit }) => [id, limit]));
}

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
function chooseMany(
  lanes: Lanes,
  list: readonly Lane[],
  times: number,
  count: number,
  limits: () => Partial<Limits>,
): number[] {
  const totals = list.map(() => 0);
  for (let i = 0; i < times; i++) {
    const chosen = choose(lanes, count, limits());
    lanes.free("a.test");
    for (const [at, n] of counts(chosen, list).entries()) totals[at] = (totals[at] ?? 0) + n;
  }
  return totals;
}

test("the probes of a closed bucket are of one job after the other, whatever their weights", () => {
  const list = [lane({ priority: "high" }), lane(), lane()];
  const lanes = lanesOf(...list);
  const probe = { ofBucket: () => 1 };
  const probed = Array.from({ length: 6 }, () =>
    [...choose(lanes, 64, probe).keys()].map((id) => list.findIndex((each) => each.id === id)),
  );
  expect(probed).toEqual([[0], [1], [2], [0], [1], [2]]);
});

test("a host that opens while a choice asks for it is not held for long, and the next look at it is known", () => {
  const lanes = lanesOf(lane());
  // Closed for the first question, open for all later ones: no time is left until it opens.
  let asked = 0;
  const opening = { ofHost: () => (asked++ === 0 ? 0 : 1), closedFor: () => 0 };
  expect(sum(choose(lanes, 1, opening))).toBe(0);
  expect(lanes.nextOpening()).toBe(NOW);
  expect(sum(choose(lanes, 1, opening))).toBe(1);
});

test("the next look at a held host is known until its lanes are free", () => {
  const lanes = lanesOf(lane());
  expect(lanes.nextOpening()).toBeUndefined();
  choose(lanes, 1, { ofHost: () => 0, closedFor: () => 300 });
  expect(lanes.nextOpening()).toBe(NOW + 300);
  lanes.free("a.test");
  expect(lanes.nextOpening()).toBeUndefined();
});

describe("jobs take turns", () => {
  const three = () => (["high", "normal", "low"] as const).map((priority) => lane({ priority }));

  test("weighted by priority, 16 : 4 : 1", () => {
    const list = three();
    expect(counts(choose(lanesOf(...list), 840), list)).toEqual([640, 160, 40]);
  });

  for (const count of [1, 5, 8, 32, 64]) {
    test(`in the same measure when ${count} are chosen at a time`, () => {
      const list = three();
      const totals = chooseMany(lanesOf(...list), list, 840, count, () => FREE);
      expect(totals.map((n) => Math.round(n / (count * 40)))).toEqual([16, 4, 1]);
    });

    test(`in the same measure when their one host has room for ${count} at a time`, () => {
      const list = three();
      const limits = () => ({ ofHost: () => count });
      const totals = chooseMany(lanesOf(...list), list, 840, 64, limits);
      expect(totals.map((n) => Math.round(n / (count * 40)))).toEqual([16, 4, 1]);
    });
  }

  test("in the same measure at a busy host while another job has a free one", () => {
    const list = three();
    const other = lane({ host: "free.test" });
    const limits = () => ({ ofHost: (host: string) => (host === "a.test" ? 1 : 100) });
    const totals = chooseMany(lanesOf(...list, other), list, 840, 64, limits);
    expect(totals).toEqual([640, 160, 40]);
  });

  test("evenly where they are alike, whatever their sizes", () => {
    const list = [lane({ waiting: 100_000 }), lane({ waiting: 10 }), lane({ waiting: 100_000 })];
    expect(counts(choose(lanesOf(...list), 78), list)).toEqual([36, 10, 32]);
  });

  test("so that ten tasks are chosen soon, however many another job has and however many hosts", () => {
    const large = Array.from({ length: 500 }, (_, i) => lane({ job: 1, host: `h${i}.test`, waiting: 200 }));
    const lanes = lanesOf(...large);
    choose(lanes, 64);
    const small = lane({ job: 2, waiting: 10 });
    lanes.set(small, NOW);
    expect(choose(lanes, 32).get(small.id)).toBe(10);
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
      const chosen = choose(lanes, 3 * (weight + 4));
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
    expect(sum(choose(lanesOf(...list), 7))).toBe(7);
    const limits = {
      ofHost: (host: string) => (host === "b.test" ? 5 : 100),
      ofBucket: (bucket: string) => (bucket === "narrow" ? 2 : 100),
    };
    expect(counts(choose(lanesOf(...list), 64, limits), list)).toEqual([3, 5, 2]);
  });

  test("takes a host's room once for all jobs, and a bucket's once for all hosts", () => {
    const list = [1, 2, 3].map((job) => lane({ job }));
    expect(sum(choose(lanesOf(...list), 64, { ofHost: () => 4 }))).toBe(4);
    const hosts = [1, 2, 3].map((job) => lane({ job, host: `h${job}.test` }));
    expect(sum(choose(lanesOf(...hosts), 64, { ofHost: () => 4, ofBucket: () => 5 }))).toBe(5);
  });

  test("is empty where no host or no bucket has room, or less than none", () => {
    const lanes = lanesOf(lane(), lane({ host: "b.test" }));
    expect(choose(lanes, 64, { ofHost: () => -3 }).size).toBe(0);
    for (const host of ["a.test", "b.test"]) lanes.free(host);
    expect(choose(lanes, 64, { ofHost: () => 3, ofBucket: () => -1 }).size).toBe(0);
    expect(sum(choose(lanes, 64))).toBe(64);
  });

  test("counts what was chosen as gone until the lane is told of", () => {
    const one = lane({ waiting: 5 });
    const lanes = lanesOf(one);
    expect(sum(choose(lanes, 3))).toBe(3);
    expect(sum(choose(lanes, 64))).toBe(2);
    expect(choose(lanes, 64).size).toBe(0);
    lanes.set({ ...one, waiting: 4 }, NOW);
    expect(sum(choose(lanes, 64))).toBe(4);
    lanes.set({ ...one, waiting: 0 }, NOW);
    expect(lanes.size).toBe(0);
  });
});

describe("a lane with nothing due", () => {
  test("sleeps until it is due, and says when", () => {
    const later = lane({ nextDue: NOW + 500 });
    const lanes = lanesOf(later, lane({ nextDue: NOW + 900 }));
    expect(lanes.nextDue()).toBe(NOW + 500);
    expect(choose(lanes, 64, {}, NOW + 499).size).toBe(0);
    expect([...choose(lanes, 64, {}, NOW + 500).keys()]).toEqual([later.id]);
    expect(lanes.nextDue()).toBe(NOW + 900);
  });

  test("does not keep an alarm going for those that are due", () => {
    const lanes = lanesOf(lane(), lane({ host: "b.test" }));
    expect(lanes.nextDue()).toBeUndefined();
    choose(lanes, 1);
    expect(lanes.nextDue()).toBeUndefined();
  });

  test("falls asleep and wakes as it is told", () => {
    const one = lane();
    const lanes = lanesOf(one);
    lanes.set({ ...one, nextDue: NOW + 50 }, NOW);
    expect(choose(lanes, 64).size).toBe(0);
    lanes.set({ ...one, nextDue: NOW }, NOW);
    expect(sum(choose(lanes, 64))).toBe(64);
  });

  test("can be dropped, the others stay", () => {
    const due = lane();
    const lanes = lanesOf(due, lane({ nextDue: NOW + 50 }));
    lanes.dropSleepers();
    expect([lanes.size, lanes.has(due.id), lanes.nextDue()]).toEqual([1, true, undefined]);
    expect(sum(choose(lanes, 10))).toBe(10);
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
      if (step === 10) lanes.free(each.host);
      if (step === 10)
        total += sum(choose(lanes, round % 9, { ofHost: () => 2, ofBucket: () => 6 }, NOW + (round % 20)));
    }
  }
  expect(total).toBeGreaterThan(100);
  for (const each of list) lanes.set(each, NOW);
  expect(sum(choose(lanes, 1000, {}, NOW + 1000))).toBe(list.reduce((all, { waiting }) => all + waiting, 0));
  for (const each of list) lanes.set({ ...each, waiting: 0 }, NOW);
  expect(lanes.size).toBe(0);
  expect(choose(lanes, 1000, {}, NOW + 1000).size).toBe(0);
});

const many = (count: number, more: (at: number) => Sample = () => ({})) =>
  Array.from({ length: count }, (_, at) => lane({ job: 1, host: `h${at}.test`, waiting: 2, ...more(at) }));

/** Steps of some choices, where the claims bring what was chosen. */
function stepsOf(lanes: Lanes, choices: number, limits: Partial<Limits> = {}): number {
  const before = lanes.steps;
  for (let i = 0; i < choices; i++) choose(lanes, 128, limits);
  return lanes.steps - before;
}

describe("the work of a choice does not grow with the number of lanes", () => {
  for (const [what, limits] of [
    ["with room at every host", { ofHost: () => 4 }],
    ["with room at none", { ofHost: () => 0 }],
    ["with every host left alone", { ofHost: () => 0, closedFor: () => 60_000 }],
  ] as const) {
    test(what, () => {
      const [few, lots] = [lanesOf(...many(2500)), lanesOf(...many(100_000))];
      expect(stepsOf(lots, 20, limits)).toBeLessThanOrEqual(1.01 * stepsOf(few, 20, limits) + LOOKS_MAX * 4);
      expect(stepsOf(lots, 20, limits)).toBeLessThanOrEqual(20 * (LOOKS_MAX + 1));
    });
  }

  test("a choice looks at the lanes that it takes", () => {
    const lanes = lanesOf(...many(100_000));
    expect(stepsOf(lanes, 1, { ofHost: () => 4 })).toBeLessThanOrEqual(128 + 128 / 16 + 1);
    expect(lanes.hasUnseen).toBe(false);
  });

  test("lanes in line at a busy host are looked at once, until it has room", () => {
    const lanes = lanesOf(...many(200, () => ({ host: "a.test" })));
    const full = { ofHost: () => 0 };
    choose(lanes, 128, full);
    expect(lanes.isHeld("a.test")).toBe(true);
    expect(stepsOf(lanes, 100, full)).toBe(0);
    lanes.free("a.test");
    expect(sum(choose(lanes, 128))).toBe(128);
  });

  test("a choice that sees too many lanes stops early, and the next ones see the others", () => {
    const free = lane({ job: 1, host: "free.test" });
    const lanes = lanesOf(...many(LANES_MAX - 1), free);
    const limits = { ofHost: (host: string) => (host === free.host ? 1 : 0) };
    let rounds = 1;
    let chosen = choose(lanes, 10, limits);
    for (; chosen.size === 0 && lanes.hasUnseen; chosen = choose(lanes, 10, limits)) rounds++;
    expect([...chosen]).toEqual([[free.id, 1]]);
    expect(rounds).toBe(Math.ceil(LANES_MAX / LOOKS_MAX));
  });

  test("lanes of a host that is left alone are not looked at before a second is over", () => {
    const lanes = lanesOf(...many(1000));
    const closed = { ofHost: () => 0, closedFor: () => 60_000 };
    choose(lanes, 10, closed);
    const before = lanes.steps;
    choose(lanes, 10, closed, NOW + 900);
    expect(lanes.steps).toBe(before);
    expect(sum(choose(lanes, 10, {}, NOW + 1000))).toBe(10);
  });

  test("a host that is left alone for less is looked at when it opens", () => {
    const lanes = lanesOf(lane());
    choose(lanes, 10, { ofHost: () => 0, closedFor: () => 70.5 });
    expect(choose(lanes, 10, {}, NOW + 69).size).toBe(0);
    expect(sum(choose(lanes, 10, {}, NOW + 70))).toBe(10);
  });

  test("lanes that become due together wake in several choices", () => {
    const lanes = lanesOf(...many(LANES_MAX, () => ({ nextDue: NOW + 100 })));
    const before = lanes.steps;
    choose(lanes, 10, {}, NOW + 99);
    expect(lanes.steps).toBe(before);
    expect(sum(choose(lanes, 10, {}, NOW + 100))).toBe(10);
    expect(lanes.steps - before).toBeLessThan(1100);
  });
});

describe("the memory of lanes", () => {
  test("is bounded, and tells of the lanes that it leaves out", () => {
    const lanes = lanesOf(...many(LANES_MAX));
    expect([lanes.size, lanes.takeMissedDue()]).toEqual([LANES_MAX, Number.POSITIVE_INFINITY]);
    expect(lanes.set(lane({ job: 1, host: "late.test", nextDue: NOW - 7 }), NOW)).toBe(false);
    expect([lanes.size, lanes.takeMissedDue(), lanes.takeMissedDue()]).toEqual([
      LANES_MAX,
      NOW - 7,
      Number.POSITIVE_INFINITY,
    ]);
  });

  test("has room for a new job while another job fills it", () => {
    const lanes = lanesOf(...many(LANES_MAX + 5));
    const small = lane({ job: 2, host: "new.test", waiting: 10 });
    expect(lanes.set(small, NOW)).toBe(true);
    expect(lanes.size).toBe(LANES_MAX);
    expect(choose(lanes, 64).get(small.id)).toBe(10);
  });

  test("has room for a due lane while lanes that are not due fill it", () => {
    const lanes = lanesOf(...many(LANES_MAX, (job) => ({ job, nextDue: NOW + 1000 })));
    const due = lane({ host: "new.test" });
    expect(lanes.set(due, NOW)).toBe(true);
    expect([lanes.size, lanes.takeMissedDue()]).toEqual([LANES_MAX, NOW + 1000]);
    expect(sum(choose(lanes, 5))).toBe(5);
  });

  test("has room for a new job among very many jobs for one host, and for each priority of that host", () => {
    const lanes = new Lanes();
    for (let job = 1; job <= 100_000; job++) lanes.set(lane({ job, host: "dead.test" }), NOW);
    expect(lanes.size).toBe(256);
    expect(lanes.set(lane({ host: "new.test" }), NOW)).toBe(true);
    expect(lanes.set(lane({ host: "dead.test" }), NOW)).toBe(false);
    expect(lanes.set(lane({ host: "dead.test", priority: "high" }), NOW)).toBe(true);
  });

  test("has room for a new job among jobs of one task each for hosts that are closed", () => {
    const lanes = new Lanes();
    for (let job = 1; job <= LANES_MAX; job++) lanes.set(lane({ job, host: `dead${job % 50}.test` }), NOW);
    do choose(lanes, 10, { ofHost: () => 0, closedFor: () => 60_000 });
    while (lanes.hasUnseen);
    const small = lane({ host: "new.test", waiting: 10 });
    expect([lanes.set(small, NOW), lanes.size]).toEqual([true, LANES_MAX]);
    expect(choose(lanes, 64).get(small.id)).toBe(10);
  });

  test("tells once when a host that had too many lanes has few", () => {
    const list = many(300, () => ({ host: "a.test" }));
    const lanes = lanesOf(...list);
    for (const each of list.slice(0, 127)) lanes.set({ ...each, waiting: 0 }, NOW);
    expect(lanes.takeGain()).toBe(false);
    lanes.set({ ...(list[127] as Lane), waiting: 0 }, NOW);
    expect([lanes.takeGain(), lanes.takeGain()]).toEqual([true, false]);
  });

  test("drops a host and a job with their last lane, wherever it stands", () => {
    const ready = lane({ host: "ready.test" });
    const held = lane({ host: "held.test" });
    const asleep = lane({ host: "asleep.test", nextDue: NOW + 50 });
    const lanes = lanesOf(held);
    choose(lanes, 1, { ofHost: () => 0 });
    for (const each of [ready, asleep]) lanes.set(each, NOW);
    expect(lanes.groups).toEqual({ hosts: 3, jobs: 3 });
    for (const each of [ready, held, asleep]) lanes.set({ ...each, waiting: 0 }, NOW);
    expect([lanes.size, lanes.groups, lanes.nextDue()]).toEqual([0, { hosts: 0, jobs: 0 }, undefined]);
    expect(choose(lanes, 10, {}, NOW + 5000).size).toBe(0);
  });
});
