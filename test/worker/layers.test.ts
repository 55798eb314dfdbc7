import { describe, expect, test } from "bun:test";
import { Failure, type FailureCode, httpFailure } from "../../src/jobs/failure.ts";
import type { Outcome } from "../../src/jobs/verdict.ts";
import { Attempt } from "../../src/worker/attempt.ts";
import { HostActivity } from "../../src/worker/hosts/host-activity.ts";
import { HostGovernor } from "../../src/worker/hosts/host-governor.ts";
import { hostPermit } from "../../src/worker/hosts/host-permit.ts";
import { HostRules } from "../../src/worker/hosts/host-rules.ts";
import { rateLimit } from "../../src/worker/hosts/rate-limit.ts";
import { InterruptedError } from "../../src/worker/interrupted.ts";
import { OverdueAttempts } from "../../src/worker/overdue-attempts.ts";
import { compose, type Layer, type Service, serviceOf } from "../../src/worker/service.ts";
import { CLEAN_UP_MS, timeout } from "../../src/worker/timeout.ts";
import { claimedTask } from "../support/claimed.ts";
import { FakeClock, turn } from "../support/clock.ts";
import { failedWith, STORED, untilAborted } from "../support/outcomes.ts";
import { rejectionOf } from "../support/rejection.ts";

const never = new AbortController().signal;
const CLAIMED = claimedTask();
const stored = serviceOf(() => Promise.resolve(STORED));

test("the first layer is the outermost, for calls and for readiness", async () => {
  const seen: string[] = [];
  const named =
    (name: string): Layer =>
    (inner) => ({
      async ready(signal) {
        await inner.ready(signal);
        seen.push(`${name} ready`);
      },
      async call(attempt) {
        seen.push(`into ${name}`);
        const outcome = await inner.call(attempt);
        seen.push(`out of ${name}`);
        return outcome;
      },
    });
  const service = compose([named("a"), named("b")], stored);
  await service.ready(never);
  expect(await service.call(new Attempt(CLAIMED, 1))).toBe(STORED);
  expect(seen).toEqual(["b ready", "a ready", "into a", "into b", "out of b", "out of a"]);
});

describe("the rate limit", () => {
  /** Calls as often as it may within a time. */
  async function callsIn(ms: number, perSecond: number, clock: FakeClock, service: Service): Promise<number> {
    let calls = 0;
    const attempt = new Attempt(CLAIMED, 1);
    const worker = (async () => {
      for (;;) {
        await service.ready(attempt.signal);
        await service.call(attempt);
        if (++calls > perSecond * 1000) throw new Error("there is no limit");
      }
    })();
    await clock.advance(ms);
    attempt.abort(new Error("enough"));
    expect(String(await rejectionOf(worker))).toBe("Error: enough");
    return calls;
  }

  test("lets a second's worth go at once, then one after the other", async () => {
    const clock = new FakeClock();
    const service = rateLimit(10, clock)(stored);
    expect(await callsIn(0, 10, clock, service)).toBe(10);
    expect(await callsIn(99, 10, clock, service)).toBe(0);
    expect(await callsIn(2, 10, clock, service)).toBe(1);
    expect(await callsIn(10_000, 10, clock, service)).toBe(100);
    expect(clock.pending).toBe(0);
  });

  test("saves up one second's worth in a pause and no more", async () => {
    const clock = new FakeClock();
    const service = rateLimit(5, clock)(stored);
    await callsIn(0, 5, clock, service);
    await clock.advance(3_600_000);
    expect(await callsIn(0, 5, clock, service)).toBe(5);
  });

  test("may be less than one in a second", async () => {
    const clock = new FakeClock();
    const service = rateLimit(0.1, clock)(stored);
    expect(await callsIn(60_000, 1, clock, service)).toBe(7);
  });

  test("counts its waiting workers, and only while they wait", async () => {
    const clock = new FakeClock();
    const waits = { workers: 0 };
    const service = rateLimit(1, clock, waits)(stored);
    await callsIn(0, 1, clock, service);
    const ready = service.ready(new AbortController().signal);
    await turn();
    expect(waits.workers).toBe(1);
    await clock.advance(1000);
    await ready;
    expect(waits.workers).toBe(0);
    await callsIn(0, 1, clock, service);
    const stopping = new AbortController();
    const given = service.ready(stopping.signal).catch(() => "stopped");
    stopping.abort(new Error("stop"));
    expect(await given).toBe("stopped");
    expect(waits.workers).toBe(0);
  });

  test("of 0 adds no layer", () => {
    expect(rateLimit(0, new FakeClock())(stored)).toBe(stored);
  });

  test("is each worker's own", async () => {
    const clock = new FakeClock();
    const layer = rateLimit(1, clock);
    const [first, second] = [layer(stored), layer(stored)];
    expect(await callsIn(0, 1, clock, first)).toBe(1);
    expect(await callsIn(0, 1, clock, second)).toBe(1);
  });

  test("takes no token for a wait", async () => {
    const clock = new FakeClock();
    const service = rateLimit(1, clock)(stored);
    for (let i = 0; i < 10; i++) await service.ready(never);
    expect(await callsIn(0, 1, clock, service)).toBe(1);
  });

  test("is not moved by a change of the wall clock", async () => {
    const clock = new FakeClock();
    const service = rateLimit(1, clock)(stored);
    await callsIn(0, 1, clock, service);
    clock.jump(86_400_000);
    expect(await callsIn(0, 1, clock, service)).toBe(0);
    clock.jump(-2 * 86_400_000);
    expect(await callsIn(1000, 1, clock, service)).toBe(1);
  });
});

describe("the timeout", () => {
  test("ends a call with DOWNLOAD_TIMEOUT", async () => {
    const clock = new FakeClock();
    const ended = rejectionOf(
      timeout(
        5000,
        clock,
        new OverdueAttempts(),
      )(serviceOf(({ signal }) => untilAborted(signal))).call(new Attempt(CLAIMED, 1)),
    );
    await clock.advance(5000);
    expect(await ended).toMatchObject({ code: "DOWNLOAD_TIMEOUT", class: "transient" });
    expect(clock.pending).toBe(0);
  });

  test("does not end a call earlier", async () => {
    const clock = new FakeClock();
    let isAborted = false;
    const service = timeout(
      5000,
      clock,
      new OverdueAttempts(),
    )(
      serviceOf(({ signal }) => {
        signal.addEventListener("abort", () => (isAborted = true));
        return untilAborted(signal);
      }),
    );
    const ended = rejectionOf(service.call(new Attempt(CLAIMED, 1)));
    await clock.advance(4999);
    expect(isAborted).toBe(false);
    await clock.advance(1);
    await ended;
  });

  test("leaves no timer behind", async () => {
    const clock = new FakeClock();
    expect(await timeout(5000, clock, new OverdueAttempts())(stored).call(new Attempt(CLAIMED, 1))).toBe(STORED);
    const throwing = serviceOf(() => Promise.reject(new Error("boom")));
    await rejectionOf(timeout(5000, clock, new OverdueAttempts())(throwing).call(new Attempt(CLAIMED, 1)));
    expect(clock.pending).toBe(0);
  });

  test("hands on why the worker stops, before the call and during it", async () => {
    const service = timeout(
      5000,
      new FakeClock(),
      new OverdueAttempts(),
    )(serviceOf(({ signal }) => untilAborted(signal)));
    const attempt = new Attempt(CLAIMED, 1);
    const ended = rejectionOf(service.call(attempt));
    const reason = new InterruptedError("cancel");
    attempt.abort(reason);
    expect(await ended).toBe(reason);
    expect(await rejectionOf(service.call(attempt))).toBe(reason);
  });

  describe("leaves a call behind that does not end", () => {
    function hangingCall() {
      const clock = new FakeClock();
      const overdue = new OverdueAttempts();
      const work = Promise.withResolvers<Outcome>();
      const attempt = new Attempt(CLAIMED, 1);
      const outcome = timeout(5000, clock, overdue)(serviceOf(() => work.promise)).call(attempt);
      return { clock, overdue, work, attempt, outcome };
    }

    test("after its limit", async () => {
      const { clock, overdue, work, outcome } = hangingCall();
      await clock.advance(5000 + CLEAN_UP_MS);
      expect(await outcome).toMatchObject({ kind: "failed", failure: { code: "DOWNLOAD_TIMEOUT" } });
      expect(overdue.problem).toContain(`1 aborted attempt still runs (task ${CLAIMED.id}, host`);
      work.resolve(STORED);
      await clock.advance(0);
      expect(overdue.problem).toBeUndefined();
      expect(clock.pending).toBe(0);
    });

    test.each(["cancel", "shutdown"] as const)("after a %s", async (by) => {
      const { clock, overdue, work, attempt, outcome } = hangingCall();
      attempt.abort(new InterruptedError(by));
      await clock.advance(CLEAN_UP_MS);
      expect(await outcome).toEqual({ kind: "interrupted", by });
      work.reject(new Error("too late"));
      await clock.advance(0);
      expect(overdue.problem).toBeUndefined();
    });

    test("and not while it may still clean up", async () => {
      const { clock, work, attempt, outcome } = hangingCall();
      attempt.abort(new InterruptedError("shutdown"));
      await clock.advance(CLEAN_UP_MS - 1);
      work.resolve(STORED);
      expect(await outcome).toBe(STORED);
    });
  });
});

describe("the host permit", () => {
  const HOST = CLAIMED.host;
  function setup(
    outcome: () => Promise<Outcome>,
    limits = { maxConcurrency: 1, ratePerSecond: 0, breakerFailures: 3 },
  ) {
    const clock = new FakeClock();
    const roomWhenFreed: number[] = [];
    const onFree = () => roomWhenFreed.push(governor.room(HOST));
    const governor: HostGovernor = new HostGovernor({ rules: new HostRules(limits), clock, onFree });
    const service = hostPermit(governor, new HostActivity(clock), clock)(serviceOf(outcome));
    const call = async () => {
      governor.acquire(HOST);
      await service.call(new Attempt(CLAIMED, 1)).catch(() => {});
    };
    return { clock, governor, call, roomWhenFreed };
  }

  test.each([
    ["stored", () => Promise.resolve(STORED)],
    ["failed", () => Promise.resolve(failedWith(httpFailure(404)))],
    ["interrupted", () => Promise.resolve<Outcome>({ kind: "interrupted", by: "cancel" })],
    ["throwing", () => Promise.reject(new Error("boom"))],
  ])("is given back after a %s call, once", async (_, outcome) => {
    const { governor, call, roomWhenFreed } = setup(outcome);
    await call();
    expect(governor.room(HOST)).toBe(1);
    expect(roomWhenFreed).toEqual([1]);
  });

  test("is held while the call runs", async () => {
    const gate = Promise.withResolvers<Outcome>();
    const { governor, call } = setup(() => gate.promise);
    const done = call();
    expect(governor.room(HOST)).toBe(0);
    gate.resolve(STORED);
    await done;
    expect(governor.room(HOST)).toBe(1);
  });

  test("a throttling host is closed before its permit is free", async () => {
    const { governor, call, clock, roomWhenFreed } = setup(() => Promise.resolve(failedWith(httpFailure(429, 60_000))));
    await call();
    expect(roomWhenFreed).toEqual([0]);
    await clock.advance(59_999);
    expect(governor.room(HOST)).toBe(0);
    await clock.advance(1);
    expect(governor.room(HOST)).toBe(1);
  });

  test("a host is closed for 15 minutes at most", async () => {
    const { governor, call, clock } = setup(() => Promise.resolve(failedWith(httpFailure(429, 10 ** 10))));
    await call();
    await clock.advance(15 * 60_000);
    expect(governor.room(HOST)).toBe(1);
  });

  test.each<[FailureCode, number | undefined]>([
    ["DOWNLOAD_CONNECT_FAILED", undefined],
    ["DOWNLOAD_RESET", undefined],
    ["DOWNLOAD_TRUNCATED", 200],
    ["DOWNLOAD_HTTP_500", 500],
    ["DOWNLOAD_TIMEOUT", 200],
  ])("%s counts for the breaker", async (code, status) => {
    const { governor, call } = setup(() => Promise.resolve(failedWith(new Failure(code, ""), status)));
    for (let i = 0; i < 3; i++) await call();
    expect(governor.room(HOST)).toBe(0);
  });

  test.each<[FailureCode, number | undefined]>([
    ["DOWNLOAD_HTTP_404", 404],
    ["DOWNLOAD_HTTP_429", 429],
    ["DOWNLOAD_CHECKSUM_MISMATCH", 200],
    ["DOWNLOAD_CONTENT_TYPE_MISMATCH", 200],
    ["DOWNLOAD_TOO_MANY_REDIRECTS", 302],
    ["UPLOAD_UNAVAILABLE", 200],
  ])("%s is an answer and closes the breaker", async (code, status) => {
    const outcomes = [failedWith(new Failure("DOWNLOAD_RESET", "")), failedWith(new Failure("DOWNLOAD_RESET", ""))];
    const { governor, call } = setup(() =>
      Promise.resolve(outcomes.shift() ?? failedWith(new Failure(code, ""), status)),
    );
    for (let i = 0; i < 3; i++) await call();
    governor.failed(HOST);
    governor.failed(HOST);
    expect(governor.room(HOST)).toBe(1);
    governor.failed(HOST);
    expect(governor.room(HOST)).toBe(0);
  });

  test.each<[FailureCode, number | undefined]>([
    ["DOWNLOAD_DNS_NOT_FOUND", undefined],
    ["DOWNLOAD_TLS_INVALID", undefined],
    ["UPLOAD_UNAVAILABLE", undefined],
  ])("%s without an answer has no effect on the host", async (code, status) => {
    const outcomes = [failedWith(new Failure("DOWNLOAD_RESET", "")), failedWith(new Failure("DOWNLOAD_RESET", ""))];
    const { governor, call } = setup(() =>
      Promise.resolve(outcomes.shift() ?? failedWith(new Failure(code, ""), status)),
    );
    for (let i = 0; i < 5; i++) await call();
    expect(governor.room(HOST)).toBe(1);
    governor.failed(HOST);
    expect(governor.room(HOST)).toBe(0);
  });
});
