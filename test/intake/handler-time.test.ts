import { expect, test } from "bun:test";
import { HANDLER_SILENCE_MS, inTime, stepsInTime } from "../../src/intake/handler-time.ts";
import { FakeClock } from "../support/clock.ts";
import { rejectionOf } from "../support/rejection.ts";

test("a handler's promise is waited for as long as it may take, and not longer", async () => {
  const clock = new FakeClock();
  expect(await inTime(Promise.resolve(5), clock)).toBe(5);
  expect(await inTime(6, clock)).toBe(6);
  const slow = Promise.withResolvers<number>();
  const inTimeStill = inTime(slow.promise, clock);
  await clock.advance(HANDLER_SILENCE_MS - 1);
  slow.resolve(7);
  expect(await inTimeStill).toBe(7);
  const hung = rejectionOf(inTime(new Promise(() => {}), clock));
  await clock.advance(HANDLER_SILENCE_MS);
  expect(await hung).toMatchObject({ message: expect.stringContaining("hangs") });
  expect(clock.pending).toBe(0);
});

test("each step of a handler has the time, however many there are", async () => {
  const clock = new FakeClock();
  const gates = Array.from({ length: 3 }, () => Promise.withResolvers<number>());
  const seen: number[] = [];
  async function* steps() {
    for (const { promise } of gates) yield await promise;
  }
  const done = (async () => {
    for await (const step of stepsInTime(steps(), clock)) seen.push(step);
  })();
  for (const [index, { resolve }] of gates.entries()) {
    await clock.advance(HANDLER_SILENCE_MS - 1);
    resolve(index);
    await clock.advance(0);
  }
  await done;
  expect(seen).toEqual([0, 1, 2]);
  expect(clock.pending).toBe(0);
});

test("a handler that hangs between its steps, or is left early, is told to end and not waited for", async () => {
  const clock = new FakeClock();
  let ended = 0;
  const steps = {
    [Symbol.asyncIterator]: () => ({
      next: () => (ended === 0 ? new Promise<IteratorResult<number>>(() => {}) : Promise.resolve({ value: 1 })),
      return: () => {
        ended += 1;
        return new Promise<IteratorResult<number>>(() => {});
      },
    }),
  };
  const first = rejectionOf(stepsInTime<number>(steps, clock).next());
  await clock.advance(HANDLER_SILENCE_MS);
  expect(await first).toMatchObject({ message: expect.stringContaining("hangs") });
  expect(ended).toBe(1);
  for await (const _ of stepsInTime<number>(steps, clock)) break;
  expect(ended).toBe(2);
  expect(clock.pending).toBe(0);
});

test("what yields without waiting is passed on as it is", async () => {
  expect(await Array.fromAsync(stepsInTime([1, 2], new FakeClock()))).toEqual([1, 2]);
});
