import { describe, expect, test } from "bun:test";
import type { OpenBackend } from "./backend.ts";
import { type Random, RandomOperations } from "./model/operations.ts";

const SEEDS = [1, 2, 3];
const STEPS = 350;

/** Mulberry32: small, seeded, good enough to wander about. */
function randomFrom(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) % below;
  };
}

/** Random operations on the stores and on books of plain objects: all reads agree after each one. */
export function describeRandomOperations(name: string, open: OpenBackend): void {
  describe(name, () => {
    test.each(SEEDS)(
      "all reads agree with the books after each random operation, crashes included (seed %i)",
      async (seed) => {
        await using stores = await open();
        const operations = new RandomOperations(stores, randomFrom(seed));
        for (let step = 0; step < STEPS; step++) await operations.step();
        await operations.finish();
        await stores.expectTrueCounters();
        expect(await stores.queue.control.depth()).toEqual({ pending: 0, running: 0, retrying: 0 });
        expect(await stores.stores.makeDurable()).toBe(true);
        for (const count of Object.values(operations.counts)) expect(count).toBeGreaterThan(0);
      },
      120_000,
    );
  });
}
