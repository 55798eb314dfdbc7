import type { Database } from "bun:sqlite";
import { reasonOf, StoreError } from "../../jobs/stores/store-error.ts";
import { readLast, readTrimmed } from "../outbox.ts";
import { checkStore, isAbsent } from "./database.ts";
import { type Epoch, isInEpoch, readEpoch } from "./epoch.ts";
import { readMeta } from "./meta.ts";
import { MIGRATIONS } from "./migrations.ts";
import { missingStore, type ReadSource, readSteadily } from "./read-only.ts";
import type { StorePaths } from "./store-paths.ts";
import { findWalDamage } from "./wal-check.ts";

/** What the rules need to know of a store; of one without tables, what a new one says. */
interface QueueFacts {
  readonly installation: string;
  /** The last batch, and the last one that was forgotten. */
  readonly last: number;
  readonly trimmed: number;
  readonly timeline: Epoch;
}

interface FollowerFacts {
  readonly installation: string;
  readonly appliedSeq: number;
  readonly epoch: string;
}

const NEW_QUEUE: QueueFacts = {
  installation: "",
  last: 0,
  trimmed: 0,
  timeline: { epoch: "", before: "", from: 0 },
};
const NEW_FOLLOWER: FollowerFacts = { installation: "", appliedSeq: 0, epoch: "" };

/**
 * Holds the rules by which stores are refused: for the start, and for all who read them. It changes nothing, and a
 * service may be at work. `isOurs`: the caller holds the locks of the folders.
 * @throws StoreError if a store is missing beside its siblings, foreign, damaged, newer, or from another time
 */
export function inspectStores(paths: StorePaths, isOurs = false): void {
  refuseLostQueue(paths);
  if (isAbsent(paths.queue)) return;
  refuseDamagedLog(paths.queue);
  const present = Object.values(paths).filter((path) => !isAbsent(path));
  readSteadily(present, (sources) => judge(paths, sources), isOurs);
}

/** @throws StoreError for a store that is not there: a start may make it, but nobody can read it */
export function requireStores(paths: StorePaths): void {
  const absent = Object.values(paths).filter(isAbsent);
  const [first] = absent;
  if (first === undefined) return;
  if (absent.length < Object.keys(paths).length) throw missingStore(first);
  const way = "a start makes new ones; check the paths of [queue], [ledger] and [dlq], or restore a backup";
  throw new StoreError(first, `there is no store here, nor are the other two there: ${way}`);
}

function judge(paths: StorePaths, sources: readonly ReadSource[]): void {
  using open = new DisposableStack();
  const look = <Facts>(store: keyof StorePaths, read: (db: Database) => Facts, ofNew: Facts): Facts | undefined => {
    const source = sources.find(({ path }) => path === paths[store]);
    if (source === undefined) return undefined;
    try {
      const db = open.adopt(source.open(), (opened) => opened.close());
      // Until all are read: what a follower holds now, queue.db cannot forget.
      db.run("BEGIN");
      return checkStore(db, source.path, MIGRATIONS[store].length) === 0 ? ofNew : read(db);
    } catch (error) {
      if (error instanceof StoreError) throw error;
      throw new StoreError(source.path, `cannot be opened: ${reasonOf(error)}`, { cause: error });
    }
  };
  // Before queue.db, so that none of them is ahead of it because of what a service does meanwhile.
  const ledger = look("ledger", readFollower, NEW_FOLLOWER);
  const dlq = look("dlq", readFollower, NEW_FOLLOWER);
  const queue = look("queue", readQueue, NEW_QUEUE) ?? NEW_QUEUE;
  for (const [path, facts] of [
    [paths.ledger, ledger],
    [paths.dlq, dlq],
  ] as const) {
    const problem = facts === undefined ? lossOf(queue, paths.queue) : problemOf(facts, queue, paths.queue);
    if (problem !== undefined) throw new StoreError(path, problem);
  }
}

function readQueue(db: Database): QueueFacts {
  const installation = readMeta(db, "installation");
  return { installation, last: readLast(db), trimmed: readTrimmed(db), timeline: readEpoch(db) };
}

function readFollower(db: Database): FollowerFacts {
  const [installation, epoch] = [readMeta(db, "installation"), readMeta(db, "epoch")];
  return { installation, appliedSeq: Number(readMeta(db, "applied_seq")), epoch };
}

/** Why a follower that is not there cannot be made anew; `undefined` if queue.db still holds all that it is to get. */
function lossOf({ trimmed, timeline }: QueueFacts, queuePath: string): string | undefined {
  if (trimmed === 0 && isInEpoch(timeline, NEW_FOLLOWER)) return undefined;
  return `is missing or empty, but ${queuePath} has a history: restore all stores from one backup, or move it away, too, to begin anew`;
}

/** Why a follower cannot go on with queue.db. */
function problemOf(follower: FollowerFacts, queue: QueueFacts, queuePath: string): string | undefined {
  const { installation, appliedSeq: applied } = follower;
  const { last, trimmed } = queue;
  if (installation !== "" && installation !== queue.installation) {
    return `belongs to another installation than ${queuePath}; check [queue], [ledger] and [dlq] path`;
  }
  if (applied > last) {
    return `is ahead of ${queuePath} (${applied} > ${last}): one of them was restored from another time; restore both from one backup`;
  }
  if (applied < trimmed) {
    return `is behind ${queuePath} (${applied} < ${trimmed}): it was lost or restored from another time; restore all stores from one backup`;
  }
  if (isInEpoch(queue.timeline, follower)) return undefined;
  return `went another way than ${queuePath} since they were one: restore all stores from one backup, or move all of them away to begin anew`;
}

/** A new queue.db beside old followers would begin to count anew, under numbers that they know already. */
function refuseLostQueue({ queue, ledger, dlq }: StorePaths): void {
  if (!isAbsent(queue)) return;
  const orphan = [ledger, dlq].find((path) => !isAbsent(path));
  if (orphan === undefined) return;
  throw new StoreError(
    queue,
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
