import { describe, expect, test } from "bun:test";
import type { HostChange, HostRecord } from "../../../src/jobs/host-record.ts";
import { acceptance } from "../../support/sample-jobs.ts";
import type { BackendStores, OpenBackend } from "./backend.ts";

const RECORD: HostRecord = {
  host: "a.test",
  closedUntil: 1_800_000_000_000,
  failuresInARow: 3,
  breakerMs: 2000,
  breakerUntil: 1_800_000_000_500,
  unavailableSince: 1_799_000_000_000,
  concurrencyLimit: 2.5,
  slowedAt: 1_799_000_000_001,
};

async function knownTo({ queue }: BackendStores): Promise<HostRecord[]> {
  return (await queue.hosts.known()).sort((a, b) => a.host.localeCompare(b.host));
}

/** The promises of `HostBook`. */
export function describeHostBook(open: OpenBackend): void {
  const noted = (stores: BackendStores, ...changes: HostChange[]) => stores.now(stores.queue.hosts.note(() => changes));

  describe("the book of hosts", () => {
    test("is empty at first, and holds what an earlier process wrote", async () => {
      await using stores = await open();
      expect(await stores.queue.hosts.known()).toEqual([]);
      const other = { ...RECORD, host: "b.test:81", unavailableSince: undefined, concurrencyLimit: 0.25 };
      await noted(stores, RECORD, other);
      await stores.crash();
      expect(await knownTo(stores)).toEqual([RECORD, other]);
      expect(await stores.queue.hosts.find("b.test:81")).toEqual(other);
      expect(await stores.queue.hosts.find("b.test")).toBeUndefined();
    });

    test("replaces a record by a later one, and forgets one that is to be forgotten", async () => {
      await using stores = await open();
      await noted(stores, RECORD, { ...RECORD, host: "b.test" });
      const changed = { ...RECORD, failuresInARow: 0, breakerMs: 0, unavailableSince: undefined };
      await noted(stores, changed, { host: "b.test", forget: true }, { host: "c.test", forget: true });
      await stores.reopen();
      expect(await knownTo(stores)).toEqual([changed]);
    });

    test("takes the changes when the commit comes, once", async () => {
      await using stores = await open();
      let changes: HostChange[] = [];
      let takes = 0;
      const note = stores.queue.hosts.note(() => {
        takes++;
        return changes;
      });
      changes = [RECORD];
      // A job that is refused beside it repeats the commit's other members.
      const refused = stores.queue.acceptor.accept(acceptance(2, { pendingMax: 1 }));
      refused.catch(() => {});
      await stores.now(note);
      expect([takes, await knownTo(stores)]).toEqual([1, [RECORD]]);
    });
  });
}
