import { expect } from "bun:test";
import type { BackendStores } from "../contract/stores/backend.ts";
import { expectTrueCounters } from "../sqlite/recount.ts";
import { FakeClock } from "./clock.ts";
import { openTestStores } from "./stores.ts";

/** Stores on SQLite, in a temporary folder. */
export async function openSqliteBackend(): Promise<BackendStores> {
  const stores = openTestStores(new FakeClock(), true);
  return {
    clock: stores.clock,
    get stores() {
      return stores.stores;
    },
    get queue() {
      return stores.queue;
    },
    get ledger() {
      return stores.stores.ledger;
    },
    get deadLetters() {
      return stores.stores.deadLetters;
    },
    async now(work) {
      stores.queue.flush();
      return await work;
    },
    async reopen() {
      stores.stores.finish();
      stores.reopen();
    },
    crash: async () => stores.crash(),
    async expectTrueCounters() {
      await expectTrueCounters(stores);
      expect([stores.drifts, stores.lags]).toEqual([[], []]);
    },
    [Symbol.asyncDispose]: () => stores[Symbol.asyncDispose](),
  };
}
