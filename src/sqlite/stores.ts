import type { Database } from "bun:sqlite";
import { join, resolve } from "node:path";
import type { Clock } from "../jobs/clock.ts";
import type { Reach } from "../jobs/failpoint.ts";
import type { OnDrift } from "./counters.ts";
import { isAbsent, openDatabase, upgradeDatabase } from "./database.ts";
import { DeadLetters } from "./dead-letters.ts";
import { lockDirectory } from "./directory-lock.ts";
import { Ledger } from "./ledger.ts";
import { readMeta, writeMeta } from "./meta.ts";
import { MIGRATIONS } from "./migrations.ts";
import { type Follower, Outbox, readTrimmed } from "./outbox.ts";
import { Presence } from "./presence.ts";
import { JobCache } from "./queue/context.ts";
import { TaskQueue } from "./queue.ts";
import { isBroken, StoreError } from "./store-error.ts";
import { advanceTimeline, joinTimeline } from "./timeline.ts";
import { findWalDamage } from "./wal-check.ts";

export interface StoresOptions {
  /** Folders of queue.db, ledger.db and dlq.db; they may be one. */
  readonly queuePath: string;
  readonly ledgerPath: string;
  readonly dlqPath: string;
  readonly clock: Pick<Clock, "now" | "steady">;
  /** A follower could not take a batch; it gets it later. */
  readonly onLag: (follower: Follower, error: unknown) => void;
  readonly onCommit?: (durationMs: number, members: number) => void;
  /** Told that a counter was wrong, and has been counted anew. */
  readonly onDrift: OnDrift;
  /** Told once that nobody knows any more what is in a store: nothing is written from then on. */
  readonly onBroken?: (error: StoreError) => void;
  /** For crash tests, to see that the loss of power shows: nothing is synced. */
  readonly isUnsafe?: boolean;
  /** For crash tests: told of the steps that are passed. */
  readonly reach?: Reach;
}

export interface Stores {
  /** The same in all three; made when they were. */
  readonly installation: string;
  readonly queue: TaskQueue;
  readonly ledger: Ledger;
  readonly deadLetters: DeadLetters;
  readonly outbox: Outbox;
  readonly presence: Presence;
  close(): void;
}

/** Somebody who asks whether a folder is locked takes a moment. */
const PROBE_MS = 500;

/**
 * Opens the three stores for this process alone, creates what a new installation lacks, and brings the followers up
 * to what queue.db decided.
 * @throws StoreLockedError if another process has one of the folders.
 * @throws StoreError if a store is missing beside its siblings, foreign, damaged or from another time.
 */
export function openStores(options: StoresOptions): Stores {
  const folders = [options.queuePath, options.ledgerPath, options.dlqPath].map((path) => resolve(path));
  const releases: (() => void)[] = [];
  const close = () => {
    for (const release of releases.splice(0).reverse()) release();
  };
  try {
    for (const folder of new Set(folders)) releases.push(lockDirectory(folder, PROBE_MS));
    const [queuePath, ledgerPath, dlqPath] = [
      join(options.queuePath, "queue.db"),
      join(options.ledgerPath, "ledger.db"),
      join(options.dlqPath, "dlq.db"),
    ];
    refuseLostQueue(queuePath, [ledgerPath, dlqPath]);
    refuseDamagedLog(queuePath);
    const upgrades: (() => void)[] = [];
    const open = (
      path: string,
      migrations: readonly string[],
      synchronous: "FULL" | "NORMAL",
      installation: string,
    ) => {
      const found = (created: Database) => writeMeta(created, "installation", installation);
      const db = openDatabase({
        path,
        migrations,
        synchronous: options.isUnsafe === true ? "OFF" : synchronous,
        found,
      });
      releases.push(() => db.close());
      upgrades.push(() => upgradeDatabase(db, { path, migrations }));
      // A file that was there, without tables, was not made by `found`.
      if (readMeta(db, "installation") === "") found(db);
      return db;
    };
    const queueDb = open(queuePath, MIGRATIONS.queue, "FULL", Bun.randomUUIDv7());
    refuseLostFollower(queueDb, queuePath, [ledgerPath, dlqPath]);
    const installation = readMeta(queueDb, "installation");
    const ledgerDb = open(ledgerPath, MIGRATIONS.ledger, "NORMAL", installation);
    const dlqDb = open(dlqPath, MIGRATIONS.dlq, "NORMAL", installation);
    refuseOtherInstallation(ledgerDb, ledgerPath, installation, queuePath);
    refuseOtherInstallation(dlqDb, dlqPath, installation, queuePath);

    const jobs = new JobCache(queueDb);
    const bringUpToDate = () => outbox.deliver();
    const ledger = new Ledger(ledgerDb, ledgerPath, bringUpToDate, options.onDrift);
    const deadLetters = new DeadLetters(dlqDb, dlqPath, {
      jobOf: (seq) => jobs.get(seq),
      bringUpToDate,
      onDrift: options.onDrift,
    });
    // Dead letters first: they are readable before the job shows its end.
    let isHalted = false;
    const notice = (path: string, error: unknown) => {
      if (isHalted || !isBroken(error)) return;
      isHalted = true;
      const broken = new StoreError(path, `${(error as Error).message}: ${WAY_OUT}`, { cause: error });
      queue.halt(broken);
      outbox.close();
      options.onBroken?.(broken);
    };
    const followers = [
      watched(guarded(deadLetters.follower, notice), "dlq", options.reach),
      watched(guarded(ledger.follower, notice), "ledger", options.reach),
    ];
    const noticeQueue = (error: unknown) => notice(queuePath, error);
    const outbox: Outbox = new Outbox(queueDb, queuePath, followers, options.onLag, noticeQueue);
    releases.push(() => outbox.close());
    const following = () => [
      { db: ledgerDb, path: ledgerPath, appliedSeq: ledger.follower.appliedSeq() },
      { db: dlqDb, path: dlqPath, appliedSeq: deadLetters.follower.appliedSeq() },
    ];
    joinTimeline(queueDb, queuePath, following());
    // Only now: stores that are refused stay as they are, and so do those beside them.
    for (const upgrade of upgrades) upgrade();
    const queue: TaskQueue = new TaskQueue({
      db: queueDb,
      onFailed: noticeQueue,
      outbox,
      jobs,
      clock: options.clock,
      onDrift: options.onDrift,
      ...(options.onCommit !== undefined && { onCommit: options.onCommit }),
      ...(options.reach !== undefined && { reach: options.reach }),
    });
    outbox.replay();
    if (outbox.isDurable()) advanceTimeline(queueDb, following(), outbox.last);
    const presence = new Presence({ queue: queuePath, ledger: ledgerPath, dlq: dlqPath });
    return { installation, queue, ledger, deadLetters, outbox, presence, close };
  } catch (error) {
    close();
    throw error;
  }
}

const WAY_OUT =
  "nobody knows what is on the disk now, so nothing more is written; look after the disk, then start again";

/** A follower whose troubles are looked at, before they are told as a lag. */
function guarded(follower: Follower, notice: (path: string, error: unknown) => void): Follower {
  const noticed = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      notice(follower.path, error);
      throw error;
    }
  };
  return {
    ...follower,
    apply: (first, batches) => noticed(() => follower.apply(first, batches)),
    checkpoint: () => noticed(() => follower.checkpoint()),
  };
}

/** A follower that says after each step what it has done, where somebody wants to know. */
function watched(follower: Follower, store: "dlq" | "ledger", reach: Reach | undefined): Follower {
  if (reach === undefined) return follower;
  return {
    ...follower,
    apply(first, batches) {
      follower.apply(first, batches);
      reach(`${store}.applied`);
    },
    checkpoint() {
      const durable = follower.checkpoint();
      reach(`${store}.checkpointed`);
      return durable;
    },
  };
}

/** A new queue.db beside old followers would begin to count anew, under numbers that they know already. */
function refuseLostQueue(queuePath: string, followerPaths: readonly string[]): void {
  if (!isAbsent(queuePath)) return;
  const orphan = followerPaths.find((path) => !isAbsent(path));
  if (orphan === undefined) return;
  throw new StoreError(
    queuePath,
    `is missing or empty, but ${orphan} is there: put it back from a backup, or move the other stores away to begin anew`,
  );
}

/** The followers need no such look: what they lose they get again. */
function refuseDamagedLog(queuePath: string): void {
  const log = `${queuePath}-wal`;
  const damage = findWalDamage(log);
  if (damage === undefined) return;
  throw new StoreError(log, `${damage}: jobs that were accepted would be lost; restore all stores from one backup`);
}

/** What was trimmed cannot be replayed into a new follower. */
function refuseLostFollower(queueDb: Database, queuePath: string, followerPaths: readonly string[]): void {
  const lost = followerPaths.find(isAbsent);
  if (lost === undefined || readTrimmed(queueDb) === 0) return;
  throw new StoreError(
    lost,
    `is missing or empty, but ${queuePath} has a history: restore all stores from one backup, or move it away, too, to begin anew`,
  );
}

function refuseOtherInstallation(db: Database, path: string, installation: string, queuePath: string): void {
  if (readMeta(db, "installation") === installation) return;
  throw new StoreError(
    path,
    `belongs to another installation than ${queuePath}; check [queue], [ledger] and [dlq] path`,
  );
}
