import { describe, expect, test } from "bun:test";
import { STORE_NAMES } from "../../../src/jobs/stores/service-stores.ts";
import { rejectionOf } from "../../support/rejection.ts";
import { acceptance, claimAll, complete, firstOf, present, release } from "../../support/sample-jobs.ts";
import { jobOf, type OpenBackend, recover } from "./backend.ts";

/** The promises of `Stores`: the parts together. */
export function describeServiceStores(open: OpenBackend): void {
  describe("the stores of a service", () => {
    test("have one id, which outlives the process", async () => {
      await using stores = await open();
      const { installation } = stores.stores;
      expect(installation).not.toBe("");
      await stores.crash();
      expect(stores.stores.installation).toBe(installation);
      await using other = await open();
      expect(other.stores.installation).not.toBe(installation);
    });

    test("that are new have no problem and refuse no job", async () => {
      await using stores = await open();
      expect(STORE_NAMES.map((name) => stores.stores.problemOf(name))).toEqual([undefined, undefined, undefined]);
      expect(stores.stores.refusal()).toBeUndefined();
      await stores.now(stores.stores.tryWrite());
      expect(await stores.stores.makeDurable()).toBe(true);
    });

    test("that are on hold refuse every change with the reason, until they have caught up", async () => {
      await using stores = await open();
      const { queue } = stores;
      await stores.now(queue.acceptor.accept(acceptance(1)));
      const claimed = firstOf(await claimAll(stores));
      const reason = new Error("no room");
      stores.stores.hold(reason);
      const changes = [
        () => queue.acceptor.accept(acceptance(1)),
        () => queue.settlements.settle({ claimed, verdict: complete }),
        () => queue.control.setPaused(true),
        () => stores.stores.tryWrite(),
      ];
      for (const change of changes) expect(await rejectionOf(stores.now<unknown>(change()))).toBe(reason);
      expect(present(stores.stores.refusal()).cause).toBe(reason);
      expect(await queue.control.depth()).toEqual({ pending: 0, running: 1, retrying: 0 });
      await stores.stores.catchUp();
      expect(stores.stores.refusal()).toBeUndefined();
      expect(await stores.now(queue.settlements.settle({ claimed, verdict: release }))).toBe(true);
      await stores.expectTrueCounters();
    });

    test("commit at an orderly end what still waits for a commit", async () => {
      await using stores = await open();
      const accepted = stores.queue.acceptor.accept(acceptance(2));
      await stores.reopen();
      const { jobId } = await accepted;
      expect((await jobOf(stores, jobId)).total).toBe(2);
      expect(await recover(stores)).toMatchObject({ interrupted: 0 });
      expect((await claimAll(stores)).length).toBe(2);
    });

    test("call a listener after the commit that ended a job, which shows its end then", async () => {
      await using stores = await open();
      const statuses: Promise<unknown>[] = [];
      stores.queue.onFinished(({ jobId }, status) => {
        statuses.push(jobOf(stores, jobId).then((job) => [status, job.status]));
      });
      await stores.now(stores.queue.acceptor.accept(acceptance(1)));
      const claimed = firstOf(await claimAll(stores));
      await stores.now(stores.queue.settlements.settle({ claimed, verdict: complete }));
      expect(await Promise.all(statuses)).toEqual([["completed", "completed"]]);
    });
  });
}
