import { describe, expect, test } from "bun:test";
import { delay, systemClock } from "../../src/std/clock.ts";
import { FakeClock } from "../support/clock.ts";
import { rejectionOf } from "../support/rejection.ts";

const never = new AbortController().signal;

describe("a delay", () => {
  test("ends when its time is over, not before", async () => {
    const clock = new FakeClock();
    let over = false;
    const waiting = delay(clock, 1000, never).then(() => {
      over = true;
    });
    await clock.advance(999);
    expect(over).toBe(false);
    await clock.advance(1);
    await waiting;
    expect(over).toBe(true);
  });

  test("ends with the signal's reason, and leaves no timer", async () => {
    const clock = new FakeClock();
    const stopping = new AbortController();
    const waiting = rejectionOf(delay(clock, 1000, stopping.signal));
    stopping.abort(new Error("stopping"));
    expect(await waiting).toEqual(new Error("stopping"));
    expect(clock.pending).toBe(0);
  });

  test("does not begin when the signal has come already", async () => {
    const clock = new FakeClock();
    const gone = delay(clock, 1000, AbortSignal.abort(new Error("gone")));
    expect(await rejectionOf(gone)).toEqual(new Error("gone"));
    expect(clock.pending).toBe(0);
  });
});

describe("the system's clock", () => {
  test("calls what is due, and not what was cancelled", async () => {
    const called: string[] = [];
    const cancelled = systemClock.after(0, () => called.push("cancelled"));
    cancelled.cancel();
    await new Promise<void>((resolve) => {
      systemClock.after(1, () => {
        called.push("due");
        resolve();
      });
    });
    expect(called).toEqual(["due"]);
  });

  test("calls at once what was due already, without a warning of the runtime", async () => {
    const code = `
      import { systemClock } from "./src/std/clock.ts";
      systemClock.after(-1.5, () => console.log("called"));
    `;
    const child = Bun.spawn([process.execPath, "-e", code], { stdout: "pipe", stderr: "pipe" });
    const said = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    expect(said).toEqual(["called\n", ""]);
  });

  test("does not call at once what is due in many years", async () => {
    let called = false;
    const timer = systemClock.after(2 ** 40, () => {
      called = true;
    });
    await delay(systemClock, 5, never);
    timer.cancel();
    expect(called).toBe(false);
  });

  test("has a wall clock and one that only grows", () => {
    expect(Math.abs(systemClock.now() - Date.now())).toBeLessThan(1000);
    expect(systemClock.monotonic()).toBeLessThanOrEqual(systemClock.monotonic());
  });
});
