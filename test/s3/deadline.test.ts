import { afterEach, beforeEach, describe, expect, jest, test } from "bun:test";
import { getEventListeners } from "node:events";
import { createDeadline } from "../../src/storage/s3/client/request-deadline.ts";

const never = new AbortController().signal;

describe("a deadline", () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  test("fires when nothing has gone on for its time, with the reason it makes", () => {
    const deadline = createDeadline(never, 100, () => "too late");
    jest.advanceTimersByTime(99);
    expect(deadline.signal.aborted).toBe(false);
    jest.advanceTimersByTime(1);
    expect(deadline.signal.reason).toBe("too late");
    deadline.end();
  });

  test("starts anew with every touch, and with the one after a pause", () => {
    const deadline = createDeadline(never, 100, () => "too late");
    for (let i = 0; i < 5; i++) {
      jest.advanceTimersByTime(60);
      deadline.touch();
    }
    deadline.pause();
    jest.advanceTimersByTime(1000);
    deadline.touch();
    jest.advanceTimersByTime(99);
    expect(deadline.signal.aborted).toBe(false);
    jest.advanceTimersByTime(1);
    expect(deadline.signal.aborted).toBe(true);
    deadline.end();
  });

  test("lets the timer and the outer signal go when it ends", () => {
    const outer = new AbortController();
    const deadline = createDeadline(outer.signal, 100, () => "too late");
    expect(getEventListeners(outer.signal, "abort")).toHaveLength(1);
    deadline.end();
    expect(getEventListeners(outer.signal, "abort")).toHaveLength(0);
    expect(jest.getTimerCount()).toBe(0);
  });

  test("fires with the outer signal, now and before", () => {
    const outer = new AbortController();
    const deadline = createDeadline(outer.signal, 100, () => "too late");
    outer.abort("stop");
    expect(deadline.signal.reason).toBe("stop");
    deadline.end();
    expect(createDeadline(outer.signal, 100, () => "too late").signal.reason).toBe("stop");
  });
});
