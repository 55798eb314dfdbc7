import { describe, expect, test } from "bun:test";
import { HostGovernor } from "../../src/worker/hosts/host-governor.ts";
import { type HostLimits, HostRules } from "../../src/worker/hosts/host-rules.ts";
import { FakeClock } from "../support/clock.ts";

const HOST = "origin.test";

function setup(limits: Partial<HostLimits> = {}) {
  const clock = new FakeClock();
  let freed = 0;
  const rules = new HostRules({ maxConcurrency: 4, ratePerSecond: 0, breakerFailures: 3, ...limits });
  const governor = new HostGovernor({ rules, clock, onFree: () => freed++ });
  const use = (what: "answered" | "failed", host = HOST) => {
    governor.acquire(host);
    governor[what](host);
    governor.release(host);
  };
  return { clock, governor, use, freed: () => freed };
}

test("each host has its own limit of downloads at a time", () => {
  const { governor, freed } = setup();
  for (let i = 4; i > 0; i--) {
    expect(governor.room(HOST)).toBe(i);
    governor.acquire(HOST);
  }
  expect(governor.room(HOST)).toBe(0);
  expect(governor.limit(HOST)).toBe(4);
  expect(governor.room("origin.test:8080")).toBe(4);
  governor.release(HOST);
  expect(governor.room(HOST)).toBe(1);
  expect(freed()).toBe(1);
});

test("a throttled host is closed for everyone, and the longest wish counts", async () => {
  const { clock, governor } = setup();
  governor.throttle(HOST, 5000);
  governor.throttle(HOST, 1000);
  expect([governor.room(HOST), governor.limit(HOST), governor.nextOpening()]).toEqual([0, 0, 5000]);
  await clock.advance(4999);
  expect(governor.room(HOST)).toBe(0);
  await clock.advance(1);
  expect(governor.room(HOST)).toBe(4);
  expect(governor.nextOpening()).toBeUndefined();
});

test("at the next opening the host is open, whatever fractions of a millisecond the clock has", () => {
  let now = 0;
  const clock = { monotonic: () => now, steady: () => 1_795_000_000_000.123 + now };
  const rules = new HostRules({ maxConcurrency: 4, ratePerSecond: 0, breakerFailures: 0 });
  const governor = new HostGovernor({ rules, clock, onFree: () => {} });
  for (let i = 0; i < 10_000; i++) {
    now += (i * Math.PI) % 1;
    governor.throttle(HOST, (i * Math.E) % 40);
    const opening = governor.nextOpening(now);
    if (opening === undefined) continue;
    now = opening;
    expect(governor.room(HOST)).toBe(4);
  }
});

test("the next opening is the earliest", () => {
  const { governor } = setup();
  governor.throttle("a", 3000);
  governor.throttle("b", 1000);
  governor.throttle("c", 2000);
  expect(governor.nextOpening()).toBe(1000);
});

test("a rate spreads the starts, although many may run at a time", async () => {
  const { clock, governor } = setup({ ratePerSecond: 4 });
  let started = 0;
  for (let ms = 0; ms < 1000; ms += 10) {
    while (governor.room(HOST) > 0) {
      governor.acquire(HOST);
      started++;
    }
    await clock.advance(10);
  }
  expect(started).toBe(4);
  expect(governor.concurrency(HOST)).toBe(4);
  governor.throttle(HOST, 500);
  expect(governor.concurrency(HOST)).toBe(0);
  await clock.advance(1000);
  expect(governor.room(HOST)).toBe(0); // four are running
  governor.release(HOST);
  expect(governor.room(HOST)).toBe(1);
});

test("a slow-down brings no start forward: the rate holds after a 429, too", async () => {
  const { clock, governor } = setup({ ratePerSecond: 1 });
  governor.acquire(HOST);
  governor.complained(HOST);
  governor.release(HOST, 10);
  expect(governor.closedFor(HOST)).toBe(1000);
  await clock.advance(999);
  expect(governor.room(HOST)).toBe(0);
  await clock.advance(1);
  expect(governor.room(HOST)).toBe(1);
});

describe("the breaker", () => {
  test("opens after the configured number of failures in a row", () => {
    const { governor, use } = setup();
    use("failed");
    use("failed");
    expect(governor.room(HOST)).toBe(4);
    use("failed");
    expect(governor.room(HOST)).toBe(0);
    expect(governor.nextOpening()).toBe(1000);
  });

  test("counts only what comes in a row", () => {
    const { governor, use } = setup();
    for (let i = 0; i < 10; i++) {
      use("failed");
      use("failed");
      use("answered");
    }
    expect(governor.room(HOST)).toBe(4);
  });

  test("counts each host for itself", () => {
    const { governor, use } = setup();
    for (const host of ["a", "b", "c"]) use("failed", host);
    expect(["a", "b", "c"].map((host) => governor.room(host))).toEqual([4, 4, 4]);
  });

  test("lets one probe through, which closes it", async () => {
    const { clock, governor, use } = setup();
    for (let i = 0; i < 3; i++) use("failed");
    await clock.advance(1000);
    expect(governor.room(HOST)).toBe(1);
    governor.acquire(HOST);
    expect(governor.room(HOST)).toBe(0);
    governor.answered(HOST);
    governor.release(HOST);
    expect(governor.room(HOST)).toBe(1); // closed, but slowed down by what opened it
    use("failed");
    use("failed");
    expect([governor.room(HOST), governor.nextOpening()]).toEqual([1, undefined]);
  });

  test("waits 1 s doubling to 30 s between probes, and 1 s again once it was closed", async () => {
    const { clock, governor, use } = setup();
    use("failed");
    use("failed");
    const waits: number[] = [];
    for (let i = 0; i < 7; i++) {
      use("failed");
      const wait = (governor.nextOpening() ?? 0) - clock.monotonic();
      waits.push(wait);
      await clock.advance(wait);
    }
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    use("answered");
    for (let i = 0; i < 3; i++) use("failed");
    expect((governor.nextOpening() ?? 0) - clock.monotonic()).toBe(1000);
  });

  test("a probe that is interrupted leaves room for the next", async () => {
    const { clock, governor, use } = setup();
    for (let i = 0; i < 3; i++) use("failed");
    await clock.advance(1000);
    governor.acquire(HOST);
    governor.release(HOST);
    expect(governor.room(HOST)).toBe(1);
  });

  test("ignores failures of downloads that were under way when it opened", () => {
    const { governor } = setup();
    for (let i = 0; i < 4; i++) governor.acquire(HOST);
    for (let i = 0; i < 4; i++) governor.failed(HOST);
    expect(governor.nextOpening()).toBe(1000);
  });

  test("closes when a download that was under way when it opened is answered", () => {
    const { governor, use } = setup();
    governor.acquire(HOST);
    for (let i = 0; i < 3; i++) use("failed");
    expect(governor.room(HOST)).toBe(0);
    governor.answered(HOST);
    expect(governor.nextOpening()).toBeUndefined();
    governor.release(HOST);
    expect(governor.room(HOST)).toBe(1); // slowed down by what opened it
  });

  test("opens and doubles for a host with a rate, too", async () => {
    const { clock, governor, use } = setup({ ratePerSecond: 1 });
    for (let i = 0; i < 3; i++) {
      use("failed");
      await clock.advance(1000);
    }
    expect(governor.limit(HOST)).toBe(1);
    use("failed");
    await clock.advance(1999);
    expect(governor.room(HOST)).toBe(0);
    await clock.advance(1);
    expect(governor.room(HOST)).toBe(1);
  });

  test("opens for a host that throttles as well, and the later end counts", async () => {
    const { clock, governor, use } = setup();
    governor.throttle(HOST, 500);
    for (let i = 0; i < 3; i++) use("failed");
    await clock.advance(999);
    expect(governor.room(HOST)).toBe(0);
    await clock.advance(1);
    expect(governor.room(HOST)).toBe(1);
  });

  test("closes the host for as long as it is open, so that its tasks do not wait in memory", async () => {
    const { clock, governor, use } = setup();
    for (let i = 0; i < 3; i++) use("failed");
    expect(governor.closedFor(HOST)).toBe(1000);
    await clock.advance(1000);
    expect(governor.closedFor(HOST)).toBe(0);
    use("failed");
    expect(governor.closedFor(HOST)).toBe(2000);
    expect(governor.closedFor("unknown")).toBe(0);
  });

  test("of 0 failures never opens", () => {
    const { governor, use } = setup({ breakerFailures: 0 });
    for (let i = 0; i < 100; i++) use("failed");
    expect(governor.nextOpening()).toBeUndefined();
    expect(governor.room(HOST)).toBe(1); // one at a time, but never none
  });
});

/** As many downloads at once as there may be, and all are too much. */
function complainOfAll(governor: HostGovernor): void {
  const count = governor.room(HOST);
  for (let i = 0; i < count; i++) governor.acquire(HOST);
  for (let i = 0; i < count; i++) governor.complained(HOST);
  for (let i = 0; i < count; i++) governor.release(HOST, 10);
}

describe("a host that complains", () => {
  /** Downloads that may run at once after this number of answers. */
  const answer = (governor: HostGovernor, times: number) => {
    for (let i = 0; i < times; i++) governor.answered(HOST);
    return governor.room(HOST);
  };

  test("has half as many at a time, and then more again, answer by answer", async () => {
    const { clock, governor } = setup({ maxConcurrency: 8 });
    complainOfAll(governor);
    expect(governor.room(HOST)).toBe(4);
    await clock.advance(10);
    complainOfAll(governor);
    expect(governor.room(HOST)).toBe(2);
    expect([answer(governor, 25), answer(governor, 35), answer(governor, 45)]).toEqual([3, 4, 5]);
    expect(answer(governor, 1000)).toBe(8);
  });

  test("is slowed down once by all that was under way when it was", async () => {
    const { clock, governor } = setup({ maxConcurrency: 16 });
    for (let i = 0; i < 16; i++) governor.acquire(HOST);
    await clock.advance(10);
    for (let i = 0; i < 16; i++) {
      governor.complained(HOST);
      governor.release(HOST, 10);
      await clock.advance(1); // one waited in the channel for a worker
    }
    expect(governor.room(HOST)).toBe(8);
    complainOfAll(governor); // after the last slow-down, at last
    expect(governor.room(HOST)).toBe(4);
    await clock.advance(1);
    // Of two, though there might be four.
    governor.acquire(HOST);
    governor.acquire(HOST);
    governor.complained(HOST);
    for (let i = 0; i < 2; i++) governor.release(HOST, 10);
    expect(governor.room(HOST)).toBe(1);
  });

  test("that is asked one by one has pauses, as long as it complains", async () => {
    const { clock, governor } = setup({ maxConcurrency: 2 });
    const pauses: number[] = [];
    for (let i = 0; i < 7; i++) {
      governor.acquire(HOST);
      await clock.advance(100);
      governor.complained(HOST);
      governor.release(HOST, 100);
      pauses.push(Math.round(governor.closedFor(HOST)));
      await clock.advance(governor.closedFor(HOST));
    }
    expect(pauses).toEqual([100, 300, 700, 1500, 1500, 1500, 1500]);
    governor.acquire(HOST);
    governor.answered(HOST);
    governor.release(HOST, 100);
    expect(Math.round(governor.closedFor(HOST))).toBeWithin(500, 530);
  });

  test("has its full limit again after an hour", async () => {
    const { clock, governor } = setup();
    complainOfAll(governor);
    await clock.advance(3_599_999);
    expect(governor.room(HOST)).toBe(2);
    await clock.advance(1);
    expect(governor.room(HOST)).toBe(4);
  });

  test("by failing again and again has fewer at a time, but no pauses: that is the breaker's", async () => {
    const { clock, governor } = setup({ breakerFailures: 0 });
    for (let i = 0; i < 10; i++) {
      governor.acquire(HOST);
      governor.failed(HOST);
      governor.release(HOST, 100);
      await clock.advance(1);
    }
    expect([governor.room(HOST), governor.closedFor(HOST)]).toEqual([1, 0]);
  });
});

describe("the time since which a host is closed", () => {
  test("is that of its first wish for a pause, however often it repeats the wish, until the pause ends", async () => {
    const { clock, governor } = setup();
    expect(governor.closedSinceMs(HOST)).toBeUndefined();
    governor.throttled(HOST, 5000);
    await clock.advance(4000);
    governor.throttle(HOST, 5000);
    expect(governor.closedSinceMs(HOST)).toBe(4000);
    await clock.advance(5000);
    expect(governor.closedSinceMs(HOST)).toBeUndefined();
    governor.throttled(HOST, 1000);
    await clock.advance(400);
    expect(governor.closedSinceMs(HOST)).toBe(400);
    governor.reopen(HOST);
    await clock.advance(100);
    // A download tests the host.
    expect(governor.closedSinceMs(HOST)).toBe(500);
  });

  test("is that of its breaker, until an answer closes it", async () => {
    const { clock, governor, use } = setup();
    for (let i = 0; i < 3; i++) use("failed");
    await clock.advance(1500);
    expect([governor.status(HOST).state, governor.closedSinceMs(HOST)]).toEqual(["probing", 1500]);
    use("answered");
    expect(governor.closedSinceMs(HOST)).toBeUndefined();
  });
});

describe("the record for the next process", () => {
  const otherProcess = (governor: HostGovernor, clock: FakeClock, meanwhile = () => {}) => {
    const records = governor.takeChanges().flatMap((change) => ("forget" in change ? [] : [change]));
    meanwhile();
    const rules = new HostRules({ maxConcurrency: 4, ratePerSecond: 0, breakerFailures: 3 });
    const next = new HostGovernor({ rules, clock, onFree: () => {} });
    next.restore(records);
    return next;
  };

  test("has the rest of a pause and the concurrency limit", async () => {
    const { clock, governor } = setup();
    governor.throttled(HOST, 60_000);
    expect(governor.hasChanges).toBe(true);
    await clock.advance(20_000);
    const next = otherProcess(governor, clock);
    expect([next.room(HOST), next.closedFor(HOST), next.closedSinceMs(HOST)]).toEqual([0, 40_000, 20_000]);
    await clock.advance(40_000);
    expect(next.room(HOST)).toBe(1);
  });

  test("has an open breaker, the length of its opening, and the time since the last answer", async () => {
    const { clock, governor, use } = setup();
    for (let i = 0; i < 3; i++) use("failed");
    await clock.advance(1000);
    use("failed");
    const next = otherProcess(governor, clock);
    expect(next.closedFor(HOST)).toBe(2000);
    expect([...next.unavailable(1000)]).toEqual([[HOST, 1000]]);
    expect([...next.unavailable(1001)]).toEqual([]);
    await clock.advance(2000);
    expect(next.room(HOST)).toBe(1);
    next.failed(HOST);
    expect(next.closedFor(HOST)).toBe(4000);
    next.answered(HOST);
    expect([...next.unavailable(0)]).toEqual([]);
  });

  test("never makes a wait longer than its maximum after the clock was set back", () => {
    const { clock, governor, use } = setup();
    governor.throttled(HOST, 900_000);
    for (let i = 0; i < 3; i++) use("failed", "other.test");
    const next = otherProcess(governor, clock, () => {
      clock.jump(-86_400_000);
      clock.restart();
    });
    expect([next.closedFor(HOST), next.closedFor("other.test")]).toEqual([900_000, 30_000]);
  });

  test("is handed out once, again after a failed write, and is removed in the end", async () => {
    const { clock, governor } = setup();
    governor.throttle(HOST, 1000);
    expect(governor.takeChanges()).toHaveLength(1);
    expect(governor.takeChanges()).toEqual([]);
    governor.throttle(HOST, 2000);
    governor.takeChanges();
    governor.changesAreLost();
    expect(governor.takeChanges()).toHaveLength(1);
    await clock.advance(2000);
    governor.nextOpening();
    expect(governor.takeChanges()).toEqual([{ host: HOST, forget: true }]);
  });
});

describe("the counts by state", () => {
  const COUNTS = { open: 0, slowed: 0, rate: 0, waiting: 0, breaker: 0, probing: 0 };

  test("follow the calls, and the deadlines that end a state without a call", async () => {
    const { clock, governor, use } = setup();
    expect(governor.counts()).toEqual(COUNTS);
    governor.acquire("busy");
    for (let i = 0; i < 3; i++) use("failed", "down");
    governor.throttle("asked", 5000);
    expect(governor.counts()).toEqual({ ...COUNTS, open: 1, breaker: 1, waiting: 1 });
    await clock.advance(1000);
    expect(governor.counts()).toEqual({ ...COUNTS, open: 1, probing: 1, waiting: 1 });
    use("answered", "down");
    expect(governor.counts()).toEqual({ ...COUNTS, open: 1, slowed: 1, waiting: 1 });
    await clock.advance(4000);
    governor.nextOpening(); // the host that asked for a pause is forgotten
    expect(governor.counts()).toEqual({ ...COUNTS, open: 1, slowed: 1 });
    await clock.advance(3_600_000);
    expect(governor.counts().slowed).toBe(0);
    governor.release("busy");
    expect(governor.counts().open).toBe(1); // the slowed host, until its next download
    use("answered", "down");
    expect(governor.counts()).toEqual(COUNTS);
  });

  test("are those of a walk over the hosts, whatever happens", async () => {
    const { clock, governor } = setup({ ratePerSecond: 2 });
    const hosts = Array.from({ length: 40 }, (_, i) => `host-${i}`);
    const acts: ((host: string) => void)[] = [
      (host) => governor.acquire(host),
      (host) => governor.release(host, 20),
      (host) => governor.answered(host),
      (host) => governor.failed(host, "DOWNLOAD_TIMEOUT"),
      (host) => governor.complained(host),
      (host) => governor.throttle(host, 1500),
      (host) => governor.throttled(host, 4000),
      () => governor.nextOpening(),
    ];
    let random = 1;
    const next = (below: number) => {
      random = (random * 48_271) % 2_147_483_647;
      return random % below;
    };
    for (let i = 0; i < 5000; i++) {
      acts[next(acts.length)]?.(hosts[next(hosts.length)] ?? "");
      if (i % 10 !== 0) continue;
      await clock.advance(1000);
      const { rate, open, ...restricted } = governor.counts();
      const states = hosts.map((host) => governor.view(host).state);
      const walked = Object.keys(restricted).map((state) => [state, states.filter((each) => each === state).length]);
      expect(restricted as Record<string, number>).toEqual(Object.fromEntries(walked));
      const sum = Object.values(restricted).reduce((all, each) => all + each, rate + open);
      expect(sum).toBe(governor.size);
    }
  });
});

describe("memory", () => {
  test("a host without a state of its own is forgotten", () => {
    const { governor, use } = setup();
    for (let i = 0; i < 1000; i++) use("answered", `host-${i}`);
    expect(governor.size).toBe(0);
  });

  test("a host that was closed is forgotten when it opens", async () => {
    const { clock, governor, use } = setup({ ratePerSecond: 1 });
    for (let i = 0; i < 1000; i++) use("answered", `host-${i}`);
    for (let i = 0; i < 1000; i++) governor.throttle(`other-${i}`, 1000);
    expect(governor.size).toBe(2000);
    await clock.advance(1000);
    expect(governor.nextOpening()).toBeUndefined();
    expect(governor.size).toBe(0);
  });

  test("is bounded, and hosts in use stay", () => {
    const { governor, use } = setup();
    governor.acquire("in-use");
    for (let i = 0; i < 3; i++) use("failed", "first");
    for (let i = 0; i < 100_000; i++) use("failed", `host-${i}`);
    expect(governor.size).toBe(100_000);
    expect(governor.room("first")).toBe(4);
    expect(governor.room("in-use")).toBe(3);
    for (let i = 0; i < 2; i++) use("failed", "host-99999");
    expect(governor.room("host-99999")).toBe(0);
  });
});

describe("other limits", () => {
  const rules = (limits: Partial<HostLimits>) =>
    new HostRules({ maxConcurrency: 4, ratePerSecond: 0, breakerFailures: 3, ...limits });

  test("apply at once to known and new hosts, and wake the waiting tasks", () => {
    const { governor, freed } = setup();
    governor.acquire(HOST);
    governor.setRules(rules({ maxConcurrency: 2 }));
    expect([governor.room(HOST), governor.limit(HOST), governor.room("new.test")]).toEqual([1, 2, 2]);
    expect(freed()).toBe(1);
    governor.setRules(rules({ maxConcurrency: 9 }));
    expect([governor.room(HOST), governor.limit("new.test")]).toEqual([8, 9]);
  });

  test("keep a host slowed down after its complaint, up to the new limit", () => {
    const { governor } = setup();
    for (let i = 0; i < 4; i++) governor.acquire(HOST);
    governor.complained(HOST);
    expect(governor.limit(HOST)).toBe(2);
    governor.setRules(rules({ maxConcurrency: 100 }));
    expect(governor.limit(HOST)).toBe(2);
    governor.setRules(rules({ maxConcurrency: 1 }));
    expect(governor.limit(HOST)).toBe(1);
  });

  test("end a wait of the old rate, and close a breaker that is now disabled", async () => {
    const { clock, governor, use } = setup({ ratePerSecond: 0.001 });
    use("answered");
    expect(governor.room(HOST)).toBe(0);
    governor.setRules(rules({ ratePerSecond: 1 }));
    await clock.advance(1000);
    expect(governor.room(HOST)).toBe(1);
    governor.setRules(rules({}));
    for (let i = 0; i < 3; i++) use("failed");
    expect(governor.room(HOST)).toBe(0);
    governor.setRules(rules({ breakerFailures: 0 }));
    expect(governor.room(HOST)).toBeGreaterThan(0);
  });
});

describe("an operator's view of a host", () => {
  const view = ({ governor }: ReturnType<typeof setup>) => governor.view(HOST);

  test("shows the limits and the rate of known and unknown hosts", () => {
    expect(view(setup())).toEqual({
      state: "open",
      maxConcurrency: 4,
      ratePerSecond: 0,
      code: undefined,
      slowedMsAgo: undefined,
    });
    const rated = setup({ ratePerSecond: 2 });
    expect(view(rated)).toMatchObject({ state: "rate", ratePerSecond: 2 });
    rated.governor.acquire(HOST);
    expect(view(rated)).toMatchObject({ state: "rate", code: undefined });
  });

  test("shows a pause, then the slow-down, with its code and its age", async () => {
    const rig = setup();
    for (let i = 0; i < 4; i++) rig.governor.acquire(HOST);
    rig.governor.throttled(HOST, 5000, "DOWNLOAD_HTTP_429");
    rig.governor.release(HOST);
    expect(view(rig)).toMatchObject({ state: "waiting", code: "DOWNLOAD_HTTP_429" });
    await rig.clock.advance(6000);
    expect(view(rig)).toMatchObject({ state: "slowed", code: "DOWNLOAD_HTTP_429", slowedMsAgo: 6000 });
  });

  test("shows the breaker, then the probe, with the code of the failure", async () => {
    const rig = setup();
    for (let i = 0; i < 3; i++) {
      rig.governor.acquire(HOST);
      rig.governor.failed(HOST, "DOWNLOAD_TIMEOUT");
      rig.governor.release(HOST);
    }
    expect(view(rig)).toMatchObject({ state: "breaker", code: "DOWNLOAD_TIMEOUT" });
    await rig.clock.advance(1000);
    expect(view(rig)).toMatchObject({ state: "probing", code: "DOWNLOAD_TIMEOUT" });
    rig.use("answered");
    expect(view(rig).state).not.toBe("probing");
  });

  test("shows the later end of a pause and an open breaker, and then the probe", async () => {
    const rig = setup();
    for (let i = 0; i < 3; i++) rig.use("failed");
    rig.governor.throttle(HOST, 500);
    expect(view(rig).state).toBe("breaker");
    rig.governor.throttle(HOST, 3000);
    expect(view(rig).state).toBe("waiting");
    await rig.clock.advance(3000);
    expect([view(rig).state, rig.governor.room(HOST)]).toEqual(["probing", 1]);
  });

  test("shows the pause after an answer, and a breaker that opens during it", async () => {
    const rig = setup();
    rig.governor.throttle(HOST, 2000);
    rig.use("answered");
    expect([view(rig).state, rig.governor.room(HOST)]).toEqual(["waiting", 0]);
    await rig.clock.advance(1500);
    for (let i = 0; i < 3; i++) rig.use("failed");
    expect(view(rig).state).toBe("breaker");
    rig.use("answered");
    expect(view(rig).state).toBe("waiting");
    await rig.clock.advance(500);
    expect(view(rig).state).toBe("slowed");
    await rig.clock.advance(3_600_000);
    expect(view(rig).state).toBe("open");
  });
});
