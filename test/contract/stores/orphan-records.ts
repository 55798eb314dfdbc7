import { describe, expect, test } from "bun:test";
import type { ObjectRef } from "../../../src/jobs/object-store.ts";
import { NO_TASK, ORPHAN_SORTS, type Orphan, type OrphanSort } from "../../../src/jobs/stores/orphan-records.ts";
import type { ClaimedTask } from "../../../src/jobs/task.ts";
import type { UploadTraces, Verdict } from "../../../src/jobs/verdict.ts";
import {
  attempt,
  claimAll,
  claimedJob,
  complete,
  discard,
  firstOf,
  present,
  release,
} from "../../support/sample-jobs.ts";
import { type BackendStores, type OpenBackend, recover } from "./backend.ts";

/** The promises of `OrphanRecords`, and those of `Settlements` about uploads. */
export function describeOrphanRecords(open: OpenBackend): void {
  describeRecordedUploads(open);
  describeStartedUploads(open);
  describeTokens(open);
  describeLooks(open);
}

const UPLOAD = { bucket: "artifacts", key: "k", uploadId: "u" };
/** Longer than the time until the first look at an orphan. */
const LATER_MS = 3_600_000;

const traces = (more: Partial<UploadTraces>): UploadTraces => ({
  uploadBegan: false,
  probeOpen: false,
  token: "token",
  closed: new Set(),
  ...more,
});

const counts = (more: Partial<Record<OrphanSort, number>> = {}) => ({
  upload: 0,
  late_upload: 0,
  late_object: 0,
  ...more,
});

async function record(stores: BackendStores, { id, claimId }: ClaimedTask, more: Partial<typeof UPLOAD> = {}) {
  await stores.now(stores.queue.settlements.recordUpload({ task: id, claimId, ...UPLOAD, ...more }));
}

async function settleWith(stores: BackendStores, claimed: ClaimedTask, verdict: Verdict, upload: UploadTraces) {
  expect(await stores.now(stores.queue.settlements.settle({ claimed, verdict, upload }))).toBe(true);
}

/** All orphans, once the time of their first look has come. */
async function orphansOf(
  stores: BackendStores,
  sorts: readonly OrphanSort[] = ORPHAN_SORTS,
): Promise<Pick<Orphan, "kind" | "name">[]> {
  await stores.clock.advance(LATER_MS);
  const { orphans } = stores.queue;
  const found: Orphan[] = [];
  for (const ref of await orphans.dueKeys(sorts, 100)) found.push(...(await orphans.dueUnder(ref)));
  return found.map(({ kind, name }) => ({ kind, name })).sort((a, b) => a.name.localeCompare(b.name));
}

function describeRecordedUploads(open: OpenBackend): void {
  describe("recorded uploads", () => {
    test("of a claim go with its settlement where they are closed, and are orphans where they are not", async () => {
      await using stores = await open();
      const early = firstOf(await claimedJob(stores));
      await record(stores, early);
      await stores.crash();
      await stores.clock.advance(1);
      await recover(stores);
      const late = firstOf(await claimAll(stores));
      for (const uploadId of ["u", "u2", "u3"]) await record(stores, late, { uploadId });
      await settleWith(stores, late, complete, traces({ closed: new Set(["u", "u2"]) }));
      expect(await orphansOf(stores)).toEqual([{ kind: "upload", name: "u3" }]);
      await stores.now(stores.queue.orphans.adopt());
      expect((await orphansOf(stores)).map(({ name }) => name)).toEqual(["u", "u3"]);
    });

    test("of a running claim are nobody's to take over", async () => {
      await using stores = await open();
      const claimed = firstOf(await claimedJob(stores));
      await record(stores, claimed);
      await stores.now(stores.queue.orphans.adopt());
      expect(await stores.queue.orphans.counts()).toEqual(counts());
      await settleWith(stores, claimed, complete, traces({}));
      expect(await orphansOf(stores)).toEqual([{ kind: "upload", name: "u" }]);
    });

    test("that an attempt records after its task was settled are taken over", async () => {
      await using stores = await open();
      const claimed = firstOf(await claimedJob(stores));
      await settleWith(stores, claimed, complete, traces({}));
      await record(stores, claimed);
      expect(await stores.queue.orphans.counts()).toEqual(counts());
      await stores.now(stores.queue.orphans.adopt());
      expect(await stores.queue.orphans.counts()).toEqual(counts({ upload: 1 }));
      await stores.now(stores.queue.orphans.adopt());
      expect(await stores.queue.orphans.counts()).toEqual(counts({ upload: 1 }));
    });

    test("of the last process are taken over at the start, and every orphan is due then", async () => {
      await using stores = await open();
      const [open1, open2] = await claimedJob(stores, 2);
      await record(stores, present(open1));
      await settleWith(stores, present(open2), release, traces({ uploadBegan: true }));
      await stores.crash();
      await stores.now(stores.queue.orphans.begin());
      const { orphans } = stores.queue;
      expect(await orphans.counts()).toEqual(counts({ upload: 1, late_object: 1 }));
      expect((await orphans.dueKeys(ORPHAN_SORTS, 10)).length).toBe(2);
    });
  });
}

function describeStartedUploads(open: OpenBackend): void {
  describe("an upload that began", () => {
    const retry: Verdict = { kind: "retry", attempt, availableAt: 0 };
    const snooze: Verdict = { kind: "snooze", attempt, availableAt: 0, waitingSince: { class: "unavailable", at: 0 } };
    const waits: Verdict[] = [retry, snooze, release];
    const ends: Verdict[] = [...waits, { kind: "cancel" }, discard];

    test.each(ends.map((verdict) => [verdict.kind, verdict] as const))("is an orphan after %s", async (_, verdict) => {
      for (const uploadBegan of [true, false]) {
        await using stores = await open();
        const claimed = firstOf(await claimedJob(stores));
        await settleWith(stores, claimed, verdict, traces({ uploadBegan }));
        expect(await orphansOf(stores)).toEqual(uploadBegan ? [{ kind: "object", name: "token" }] : []);
        const deadLetter = await stores.deadLetters.find(claimed.id);
        if (deadLetter !== undefined) {
          const { contents: task, history } = deadLetter;
          await stores.now(stores.queue.deadLetters.replay([{ id: claimed.id, task, history, availableAt: 0 }]));
        }
        const again = (await claimAll(stores)).map(({ mayHaveStored }) => mayHaveStored);
        expect(again).toEqual(verdict.kind === "cancel" ? [] : [uploadBegan]);
      }
    });

    test("is one by its key alone where what found out about the server may be open, however the attempt ends", async () => {
      for (const verdict of [complete, ...ends]) {
        await using stores = await open();
        await settleWith(stores, firstOf(await claimedJob(stores)), verdict, traces({ probeOpen: true }));
        expect(await stores.queue.orphans.counts()).toEqual(counts({ late_upload: 1 }));
        expect(await orphansOf(stores)).toEqual([{ kind: "upload", name: "" }]);
      }
    });

    test("that no task remembers is one by its key until its watch ends, over a crash too", async () => {
      await using stores = await open();
      const { orphans } = stores.queue;
      const manifest = { bucket: "artifacts", key: "manifest.json", task: NO_TASK, kind: "upload", name: "" } as const;
      await stores.now(orphans.add(manifest));
      expect(await orphans.counts()).toEqual(counts({ late_upload: 1 }));
      expect(await orphans.dueKeys(ORPHAN_SORTS, 10)).toEqual([]);
      await stores.crash();
      await stores.now(stores.queue.orphans.begin());
      const { bucket, key } = manifest;
      expect(await stores.queue.orphans.dueKeys(ORPHAN_SORTS, 10)).toEqual([{ bucket, key }]);
    });

    test("is no orphan where nothing comes late, and none any more once its task is completed", async () => {
      await using stores = await open();
      const first = firstOf(await claimedJob(stores));
      await settleWith(stores, first, release, traces({ uploadBegan: true, token: undefined }));
      expect(await orphansOf(stores)).toEqual([]);
      const second = firstOf(await claimAll(stores));
      expect(second.mayHaveStored).toBe(true);
      await settleWith(stores, second, release, traces({ uploadBegan: true }));
      expect((await orphansOf(stores)).length).toBe(1);
      const third = firstOf(await claimAll(stores));
      await settleWith(stores, third, complete, traces({ uploadBegan: true, token: "own" }));
      expect(await orphansOf(stores)).toEqual([]);
    });

    test("of a stale claim is no orphan of its settlement", async () => {
      await using stores = await open();
      const stale = firstOf(await claimedJob(stores));
      await settleWith(stores, stale, release, traces({}));
      const upload = traces({ uploadBegan: true, probeOpen: true });
      expect(await stores.now(stores.queue.settlements.settle({ claimed: stale, verdict: release, upload }))).toBe(
        false,
      );
      expect(await stores.queue.orphans.counts()).toEqual(counts());
      expect(firstOf(await claimAll(stores)).mayHaveStored).toBe(false);
    });
  });
}

function describeTokens(open: OpenBackend): void {
  describe("the token of a claim's upload", () => {
    test("is one for each claim, and the same however often it is asked for", async () => {
      await using stores = await open();
      const claims = await claimedJob(stores, 3);
      await settleWith(stores, present(claims.pop()), release, traces({}));
      claims.push(firstOf(await claimAll(stores)));
      const tokens = claims.map((claimed) => stores.queue.orphans.tokenOf(claimed));
      expect(new Set(tokens).size).toBe(3);
      expect(claims.map(({ id, claimId }) => stores.queue.orphans.tokenOf({ id, claimId }))).toEqual(tokens);
    });

    test("names the object of an upload under way at a crash, next to uploads by the key, where the storage stores late", async () => {
      for (const storesLate of [true, false]) {
        await using stores = await open();
        await recover(stores, storesLate);
        const token = stores.queue.orphans.tokenOf(firstOf(await claimedJob(stores)));
        await stores.crash();
        await recover(stores, storesLate);
        const left: Pick<Orphan, "kind" | "name">[] = [
          { kind: "upload", name: "" },
          { kind: "object", name: token },
        ];
        expect(await orphansOf(stores)).toEqual(storesLate ? left : []);
        const again = firstOf(await claimAll(stores));
        expect(stores.queue.orphans.tokenOf(again)).not.toBe(token);
        await settleWith(stores, again, complete, traces({}));
        expect(await orphansOf(stores)).toEqual(left.filter(({ kind }) => storesLate && kind === "upload"));
      }
    });
  });
}

function describeLooks(open: OpenBackend): void {
  /** Orphans under three keys: an upload under each, and an object under the last. */
  async function threeKeys(stores: BackendStores): Promise<ObjectRef[]> {
    const refs = ["c", "a", "b"].map((key) => ({ bucket: "artifacts", key }));
    const tasks = await claimedJob(stores, 3);
    for (const [at, { key }] of refs.entries()) {
      await stores.clock.advance(10);
      const claimed = present(tasks[at]);
      await record(stores, claimed, { key, uploadId: `u${at}` });
      await settleWith(stores, claimed, release, traces({}));
    }
    return refs;
  }

  describe("a due orphan", () => {
    test("is not looked at right after it was left, and the longest due key comes first", async () => {
      await using stores = await open();
      const refs = await threeKeys(stores);
      const { orphans } = stores.queue;
      expect(await orphans.dueKeys(ORPHAN_SORTS, 10)).toEqual([]);
      await stores.clock.advance(LATER_MS);
      expect(await orphans.dueKeys(ORPHAN_SORTS, 10)).toEqual(refs);
      expect(await orphans.dueKeys(ORPHAN_SORTS, 2)).toEqual(refs.slice(0, 2));
      expect(await orphans.dueKeys(["late_object"], 10)).toEqual([]);
    });

    test("is found under its key, with the time since when it lies there", async () => {
      await using stores = await open();
      const claimed = firstOf(await claimedJob(stores));
      const { bucket, key } = claimed.task;
      await record(stores, claimed, { key });
      await settleWith(stores, claimed, release, traces({ uploadBegan: true }));
      const leftAt = stores.clock.steady();
      const { orphans } = stores.queue;
      expect(await orphans.dueUnder({ bucket, key })).toEqual([]);
      await stores.clock.advance(LATER_MS);
      const under = await orphans.dueUnder({ bucket, key });
      const both = { task: claimed.id, bucket, key, leftAt, looks: 0, failures: 0 };
      expect(under).toEqual([
        { ...both, id: present(under[0]).id, kind: "upload", name: "u" },
        { ...both, id: present(under[1]).id, kind: "object", name: "token" },
      ]);
      expect(await orphans.dueKeys(["late_object"], 10)).toEqual([{ bucket, key }]);
      expect(await orphans.dueUnder({ bucket, key: "other" })).toEqual([]);
      expect(await orphans.counts()).toEqual(counts({ upload: 1, late_object: 1 }));
    });

    test("ends or is postponed by a note, across a crash; one that is gone stays gone", async () => {
      await using stores = await open();
      const [first, second, third] = await threeKeys(stores);
      await stores.clock.advance(LATER_MS);
      const idUnder = async (ref: ObjectRef | undefined) =>
        firstOf(await stores.queue.orphans.dueUnder(present(ref))).id;
      const [ended, later] = [await idUnder(first), await idUnder(second)];
      const dueAt = stores.clock.steady() + 500;
      const postponed = { id: later, dueAt, looks: 3, failures: 2 };
      await stores.now(stores.queue.orphans.note({ ended: [ended], postponed: [postponed] }));
      await stores.now(stores.queue.orphans.note({ ended: [], postponed: [{ ...postponed, id: ended }] }));
      await stores.crash();
      const { orphans } = stores.queue;
      expect(await orphans.dueKeys(ORPHAN_SORTS, 10)).toEqual([present(third)]);
      expect(await orphans.counts()).toEqual(counts({ upload: 2 }));
      await stores.clock.advance(500);
      expect(await orphans.dueKeys(ORPHAN_SORTS, 10)).toEqual([present(third), present(second)]);
      expect(await orphans.dueUnder(present(second))).toMatchObject([{ id: later, looks: 3, failures: 2 }]);
    });

    test("that is left again starts anew", async () => {
      await using stores = await open();
      const claimed = firstOf(await claimedJob(stores));
      const ref = { bucket: claimed.task.bucket, key: claimed.task.key };
      await settleWith(stores, claimed, release, traces({ uploadBegan: true }));
      await stores.clock.advance(LATER_MS);
      const { id } = firstOf(await stores.queue.orphans.dueUnder(ref));
      const dueAt = stores.clock.steady() + 10 * LATER_MS;
      await stores.now(stores.queue.orphans.note({ ended: [], postponed: [{ id, dueAt, looks: 9, failures: 9 }] }));
      await settleWith(stores, firstOf(await claimAll(stores)), release, traces({ uploadBegan: true }));
      const leftAt = stores.clock.steady();
      await stores.clock.advance(LATER_MS);
      expect(await stores.queue.orphans.dueUnder(ref)).toMatchObject([{ name: "token", leftAt, looks: 0 }]);
    });
  });
}
