import { describe, expect, test } from "bun:test";
import { Failure, httpFailure } from "../../src/jobs/failure.ts";
import type { Outcome } from "../../src/jobs/verdict.ts";
import { Attempt } from "../../src/worker/attempt.ts";
import { serviceOf } from "../../src/worker/service.ts";
import { storageGate } from "../../src/worker/storage-gate.ts";
import { bucketHealth } from "../support/bucket-health.ts";
import { claimedTask } from "../support/claimed.ts";
import { FakeClock, turn } from "../support/clock.ts";
import { failedWith, STORED } from "../support/outcomes.ts";
import { rejectionOf } from "../support/rejection.ts";

const away = failedWith(new Failure("UPLOAD_UNAVAILABLE", "the storage does not answer"));

/** A gate before a service whose calls the test answers by hand. */
function setup() {
  const clock = new FakeClock();
  const gate = bucketHealth(clock);
  const calls: PromiseWithResolvers<Outcome>[] = [];
  const service = storageGate(gate)(
    serviceOf(() => {
      const call = Promise.withResolvers<Outcome>();
      calls.push(call);
      return call.promise;
    }),
  );
  const call = (bucket = "artifacts") => service.call(new Attempt(claimedTask({ bucket }), 1));
  /** One admitted call, with this outcome. */
  const end = async (outcome: Outcome, bucket?: string) => {
    const before = calls.length;
    const called = call(bucket);
    expect(calls.length).toBe(before + 1);
    calls[before]?.resolve(outcome);
    await called;
  };
  /** One call that is not admitted and is put back. Returns the time until the next probe. */
  const turnedAway = async (bucket?: string) => {
    const before = calls.length;
    expect(await call(bucket)).toEqual({ kind: "interrupted", by: "closed bucket" });
    expect(calls.length).toBe(before);
    return (gate.nextOpening() ?? clock.monotonic()) - clock.monotonic();
  };
  return { clock, gate, calls, call, end, turnedAway };
}

test("an unavailable bucket is closed, with the reason and the wait", async () => {
  const { gate, end, turnedAway } = setup();
  await end(away);
  expect(await turnedAway()).toBe(1000);
  expect([...gate.problems()].map(([name, { code }]) => [name, code])).toEqual([["artifacts", "UPLOAD_UNAVAILABLE"]]);
});

test("another bucket stays open", async () => {
  const { end, gate } = setup();
  await end(away);
  await end(STORED, "other");
  expect([...gate.problems().keys()]).toEqual(["artifacts"]);
});

test("one probe at a time is let in, and the others are put back", async () => {
  const { clock, calls, call, turnedAway } = setup();
  const first = call();
  calls[0]?.resolve(away);
  await first;
  await clock.advance(1000);
  const probe = call();
  expect(calls.length).toBe(2);
  await turnedAway();
  await clock.advance(60_000);
  await turnedAway();
  calls[1]?.resolve(STORED);
  await probe;
  void call();
  expect(calls.length).toBe(3);
});

test("the wait doubles to 30 s", async () => {
  const { clock, end, turnedAway } = setup();
  const waits: (number | undefined)[] = [];
  for (let i = 0; i < 7; i++) {
    await end(away);
    const wait = await turnedAway();
    waits.push(wait);
    await clock.advance(wait ?? 0);
  }
  expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
});

test("a stored probe opens the bucket, and the next wait is 1 s again", async () => {
  const { clock, gate, end, turnedAway } = setup();
  for (const wait of [1000, 2000]) {
    await end(away);
    await clock.advance(wait);
  }
  await end(STORED);
  expect(gate.problems().size).toBe(0);
  await end(away);
  expect(await turnedAway()).toBe(1000);
});

describe("after a probe without news of the bucket the next one may try at once", () => {
  test.each<[string, (call: PromiseWithResolvers<Outcome> | undefined) => void]>([
    ["the origin answered 404", (call) => call?.resolve(failedWith(httpFailure(404)))],
    ["it was interrupted", (call) => call?.resolve({ kind: "interrupted", by: "shutdown" })],
    ["it threw", (call) => call?.reject(new Error("boom"))],
  ])("%s", async (_, finish) => {
    const { clock, calls, call, end, turnedAway } = setup();
    await end(away);
    await clock.advance(1000);
    const probe = call().catch(() => {});
    await turnedAway();
    finish(calls[1]);
    await probe;
    await end(STORED);
  });
});

test("a probe on its way to a worker is the only one, until it arrives or comes back", async () => {
  const { clock, gate, calls, call, end } = setup();
  await end(away);
  await clock.advance(1000);
  expect(gate.room("artifacts")).toBe(1);
  gate.sent("artifacts");
  expect(gate.room("artifacts")).toBe(0);
  gate.returned("artifacts");
  expect(gate.room("artifacts")).toBe(1);
  gate.sent("artifacts");
  const probe = call();
  expect(gate.room("artifacts")).toBe(0);
  calls[1]?.resolve(failedWith(httpFailure(404)));
  await probe;
  expect(gate.room("artifacts")).toBe(1);
  gate.sent("elsewhere");
  expect(gate.room("elsewhere")).toBe(Number.POSITIVE_INFINITY);
});

describe("a refusal that names neither the object nor the bucket", () => {
  const DENIED = "S3 answered PUT in bucket artifacts with AccessDenied, status 403";
  const denied = failedWith(new Failure("UPLOAD_ACCESS_DENIED", DENIED, { mayConcernObject: true }), 200);

  test("concerns the object where the bucket has stored others: it is rejected, and the bucket stays open", async () => {
    const { gate, calls, call, end } = setup();
    await end(STORED);
    const refused = call();
    calls[1]?.resolve(denied);
    expect(await refused).toMatchObject({
      kind: "failed",
      failure: { code: "UPLOAD_REJECTED", class: "rejected", message: DENIED },
      attempt: { code: "UPLOAD_REJECTED", message: DENIED, httpStatus: 200 },
    });
    expect(gate.problems().size).toBe(0);
  });

  test("closes a bucket that has stored no object since it opened", async () => {
    const { clock, gate, end } = setup();
    await end(denied);
    expect(gate.problems().get("artifacts")?.code).toBe("UPLOAD_ACCESS_DENIED");
    await clock.advance(1000);
    await end(STORED);
    await end(denied);
    expect(gate.problems().size).toBe(0);
    await end(away);
    await clock.advance(1000);
    await end(denied);
    expect(gate.problems().get("artifacts")?.code).toBe("UPLOAD_ACCESS_DENIED");
  });

  test("closes the bucket after too many in a row: its policy has changed", async () => {
    const { gate, end } = setup();
    await end(STORED);
    for (let i = 0; i < 99; i++) await end(denied);
    await end(STORED);
    for (let i = 0; i < 100; i++) await end(denied);
    expect(gate.problems().size).toBe(0);
    await end(denied);
    expect(gate.problems().get("artifacts")?.code).toBe("UPLOAD_ACCESS_DENIED");
  });

  test("and one that names the account closes the bucket at once", async () => {
    const { gate, end } = setup();
    await end(STORED);
    await end(failedWith(new Failure("UPLOAD_ACCESS_DENIED", "InvalidAccessKeyId")));
    expect(gate.problems().size).toBe(1);
  });
});

describe("work that was under way when the bucket closed", () => {
  test("does not close it for longer", async () => {
    const { calls, call, turnedAway } = setup();
    const running = [call(), call(), call()];
    for (const { resolve } of calls) resolve(away);
    await Promise.all(running);
    expect(await turnedAway()).toBe(1000);
  });

  test("opens it when it is stored", async () => {
    const { gate, calls, call, end } = setup();
    const slow = call();
    await end(away);
    calls[0]?.resolve(STORED);
    await slow;
    expect(gate.problems().size).toBe(0);
  });

  test("does not let a second probe in", async () => {
    const { clock, calls, call, end, turnedAway } = setup();
    const slow = call();
    const slower = call();
    await end(away);
    await clock.advance(1000);
    void call();
    expect(calls.length).toBe(4);
    calls[0]?.resolve(failedWith(httpFailure(404)));
    calls[1]?.resolve(away);
    await Promise.all([slow, slower]);
    await turnedAway();
  });
});

test("an exception of the service passes through", async () => {
  const { calls, call } = setup();
  const called = rejectionOf(call());
  await turn();
  calls[0]?.reject(new Error("boom"));
  expect(String(await called)).toBe("Error: boom");
});

test("a bucket that closes again soon after it opened continues its waits", () => {
  const clock = new FakeClock();
  const gate = bucketHealth(clock);
  const away = failedWith(new Failure("UPLOAD_UNAVAILABLE", "no answer"));
  const waitMs = () => (gate.nextOpening() ?? 0) - clock.monotonic();
  const waits: number[] = [];
  for (let i = 0; i < 7; i++) {
    gate.judge("b", "work", away);
    waits.push(waitMs());
    gate.trialWorked("b");
  }
  clock.tick(61_000);
  gate.judge("b", "work", away);
  expect([...waits, waitMs()]).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 1000]);
});

describe("refusals in a row", () => {
  const refused = (code: "UPLOAD_REJECTED" | "UPLOAD_UNAVAILABLE" | "UPLOAD_ACCESS_DENIED") =>
    failedWith(new Failure(code, "no", { mayConcernObject: code !== "UPLOAD_REJECTED", httpStatus: 404 }));
  const codeOf = (outcome: Outcome) => (outcome.kind === "failed" ? outcome.failure.code : outcome.kind);

  test.each([
    ["that S3 gives the object", "UPLOAD_REJECTED", 200],
    ["that are denied without naming anybody", "UPLOAD_ACCESS_DENIED", 100],
    ["that are not S3's", "UPLOAD_UNAVAILABLE", 10],
  ] as const)("%s close a bucket that has stored others after %s: %d", (_, code, max) => {
    const gate = bucketHealth();
    const judge = () => codeOf(gate.judge("b", "work", refused(code)));
    gate.judge("b", "work", STORED);
    for (let i = 0; i < max; i++) expect(judge()).toBe("UPLOAD_REJECTED");
    expect(gate.problems().size).toBe(0);
    // A stored object resets the count.
    gate.judge("b", "work", STORED);
    for (let i = 0; i < max; i++) expect(judge()).toBe("UPLOAD_REJECTED");
    expect(judge()).toBe(code === "UPLOAD_REJECTED" ? "UPLOAD_UNAVAILABLE" : code);
    expect(gate.problems().size).toBe(1);
  });

  test("that are not S3's concern a bucket that has stored no object yet", () => {
    const gate = bucketHealth();
    expect(codeOf(gate.judge("b", "work", refused("UPLOAD_UNAVAILABLE")))).toBe("UPLOAD_UNAVAILABLE");
    gate.trialWorked("b");
    expect(codeOf(gate.judge("b", "work", refused("UPLOAD_UNAVAILABLE")))).toBe("UPLOAD_UNAVAILABLE");
  });
});

test("a closed bucket is shown with its code, and for how long until it is tried again", async () => {
  const { clock, gate, end } = setup();
  expect(gate.closed()).toEqual([]);
  await end(away);
  const shown = { bucket: "artifacts", code: "UPLOAD_UNAVAILABLE", message: "the storage does not answer" };
  expect(gate.closed()).toEqual([{ ...shown, closedForMs: 1000, closedSinceMs: 0, state: "closed" }]);
  await clock.advance(1500);
  expect(gate.closed()).toEqual([{ ...shown, closedForMs: 0, closedSinceMs: 1500, state: "closed" }]);
  await end(STORED);
  expect(gate.closed()).toEqual([]);
});
