import { describe, expect, test } from "bun:test";
import { HostGovernor } from "../../src/worker/hosts/host-governor.ts";
import { HostRules } from "../../src/worker/hosts/host-rules.ts";
import { FakeClock } from "../support/clock.ts";

const HOST = "origin.test";
const LIMITS = { maxConcurrency: 4, ratePerSecond: 0, breakerFailures: 3 };

function setup() {
  const clock = new FakeClock();
  let [freed, closed] = [0, 0];
  const rules = new HostRules(LIMITS, { "*.rule.test": { maxConcurrency: 2 } });
  const governor = new HostGovernor({ rules, clock, onFree: () => freed++, onClosed: () => closed++ });
  const attempt = (result: "answered" | "failed") => {
    governor.acquire(HOST);
    governor[result](HOST);
    governor.release(HOST);
  };
  return { clock, governor, attempt, freed: () => freed, closed: () => closed };
}

describe("a reopened host", () => {
  test("whose breaker was open gets one probe; its failure opens the breaker again", async () => {
    const { governor, attempt, freed, clock } = setup();
    for (let i = 0; i < 3; i++) attempt("failed");
    await clock.advance(400);
    expect([governor.room(HOST), governor.closedFor(HOST)]).toEqual([0, 600]);
    const before = freed();
    expect(governor.reopen(HOST)).toBe(true);
    expect([freed() - before, governor.room(HOST), governor.status(HOST).state]).toEqual([1, 1, "probing"]);
    expect(governor.nextOpening()).toBeUndefined();
    // The age of the outage counts from its start: no answer has come.
    expect(governor.status(HOST).unavailableMs).toBe(400);
    governor.acquire(HOST);
    expect(governor.room(HOST)).toBe(0);
    governor.failed(HOST);
    governor.release(HOST);
    expect([governor.room(HOST), governor.closedFor(HOST)]).toEqual([0, 2000]);
  });

  test("that asked for a pause gets one probe; its answer opens the host", () => {
    const { governor } = setup();
    governor.throttled(HOST, 3_600_000);
    expect(governor.reopen(HOST)).toBe(true);
    expect([governor.room(HOST), governor.counts().probing, governor.counts().waiting]).toEqual([1, 1, 0]);
    governor.acquire(HOST);
    expect(governor.room(HOST)).toBe(0);
    governor.answered(HOST);
    governor.release(HOST);
    expect([governor.status(HOST).state, governor.closedFor(HOST)]).toEqual(["slowed", 0]);
  });

  test("is recorded, also once it is as new", () => {
    const { governor, attempt, closed } = setup();
    // A pause without a complaint, as a task sets it that has waited for its host.
    governor.throttle(HOST, 60_000);
    governor.takeChanges();
    const before = closed();
    governor.reopen(HOST);
    expect(closed() - before).toBe(1);
    expect(governor.takeChanges()).toMatchObject([{ host: HOST, breakerMs: 1000 }]);
    attempt("answered");
    expect(governor.takeChanges()).toEqual([{ host: HOST, forget: true }]);
  });

  test("that only queue.db knows is taken from there", async () => {
    const { governor, clock } = setup();
    const record = {
      host: HOST,
      closedUntil: clock.steady() + 60_000,
      failuresInARow: 5,
      breakerMs: 0,
      breakerUntil: 0,
      unavailableSince: undefined,
      concurrencyLimit: 0.5,
      slowedAt: clock.steady(),
    };
    expect(governor.status(HOST, record)).toMatchObject({ state: "waiting", closedForMs: 60_000, currentLimit: 0.5 });
    expect(governor.has(HOST)).toBe(false);
    expect(governor.reopen(HOST, record)).toBe(true);
    expect([governor.has(HOST), governor.room(HOST)]).toEqual([true, 1]);
  });

  test("must have been closed: an open, slowed or unknown host stays as it is", () => {
    const { governor, attempt, freed } = setup();
    expect(governor.reopen("unknown.test")).toBe(false);
    attempt("answered");
    governor.complained("slow.test");
    const before = [freed(), governor.room("slow.test")];
    expect([governor.reopen(HOST), governor.reopen("slow.test")]).toEqual([false, false]);
    expect([freed(), governor.room("slow.test")]).toEqual(before);
  });
});

test("the status of a host names the rule that sets its limits", () => {
  const { governor } = setup();
  expect(governor.status("a.rule.test")).toMatchObject({ rule: "*.rule.test", maxConcurrency: 2, currentLimit: 2 });
  expect(governor.status("other.test")).toMatchObject({ rule: undefined, maxConcurrency: 4, state: "open" });
});
