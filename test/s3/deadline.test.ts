import { describe, expect, test } from "bun:test";
import { getEventListeners } from "node:events";
import { createDeadline } from "../../src/storage/s3/client/request-deadline.ts";
import { FakeClock } from "../support/clock.ts";

const never = new AbortController().signal;

function start(signal = never) {
  const clock = new FakeClock();
  return { clock, deadline: createDeadline({ clock, limitMs: 100, signal, onLimit: () => "too late" }) };
}

describe("a deadline", () => {
  test("fires when nothing has gone on for its time, with the reason it makes", async () => {
    const { clock, deadline } = start();
    await clock.advance(99);
    expect(deadline.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(deadline.signal.reason).toBe("too late");
    deadline.end();
  });

  test("starts anew with every touch, and with the one after a pause", async () => {
    const { clock, deadline } = start();
    for (let i = 0; i < 5; i++) {
      await clock.advance(60);
      deadline.touch();
    }
    deadline.pause();
    await clock.advance(1000);
    deadline.touch();
    await clock.advance(99);
    expect(deadline.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(deadline.signal.aborted).toBe(true);
    deadline.end();
  });

  test("starts anew after a pause that is shorter than its time", async () => {
    const { clock, deadline } = start();
    await clock.advance(60);
    deadline.pause();
    await clock.advance(10);
    deadline.touch();
    await clock.advance(99);
    expect(deadline.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(deadline.signal.aborted).toBe(true);
    deadline.end();
  });

  test("lets the timer and the outer signal go when it ends", () => {
    const outer = new AbortController();
    const { clock, deadline } = start(outer.signal);
    expect(getEventListeners(outer.signal, "abort")).toHaveLength(1);
    deadline.end();
    expect(getEventListeners(outer.signal, "abort")).toHaveLength(0);
    expect(clock.pending).toBe(0);
  });

  test("fires with the outer signal, now and before", () => {
    const outer = new AbortController();
    const { deadline } = start(outer.signal);
    outer.abort("stop");
    expect(deadline.signal.reason).toBe("stop");
    deadline.end();
    expect(start(outer.signal).deadline.signal.reason).toBe("stop");
  });
});
