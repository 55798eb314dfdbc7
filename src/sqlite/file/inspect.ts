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

/** The facts about a store that the rules need. A store without tables has those of a new one. */
interface QueueFacts {
  readonly installation: string;
  /** The last batch, and the last one that was trimmed. */
  readonly last: number;
  readonly trimmed: number;
  readonly epoch: Epoch;
}

interface ProjectionFacts {
  readonly installation: string;
  readonly appliedSeq: number;
  readonly epoch: string;
}

const NEW_QUEUE: QueueFacts = {
  installation: "",
  last: 0,
  trimmed: 0,
  epoch: { epoch: "", before: "", from: 0 },
};
const NEW_PROJECTION: ProjectionFacts = { installation: "", appliedSeq: 0, epoch: "" };

/**
 * Checks the rules by which stores are refused, for the start and for every reader. It changes no store, and a service
 * may be running. `isOurs`: the caller holds the locks of the folders.
 * @throws StoreError if a store is missing beside its siblings, foreign, damaged, newer, or from another time
 */
export function inspectStores(paths: StorePaths, isOurs = false): void {
  refuseLostQueue(paths);
  if (isAbsent(paths.queue)) return;
  refuseDamagedLog(paths.queue);
  const present = Object.values(paths).filter((path) => !isAbsent(path));
  readSteadily(present, (sources) => judge(paths, sources), isOurs);
}

/** @throws StoreError for a missing store: a start may create it, but it cannot be read */
export function requireStores(paths: StorePaths): void {
  const absent = Object.values(paths).filter(isAbsent);
  const [first] = absent;
  if (first === undefined) return;
  if (absent.length < Object.keys(paths).length) throw missingStore(first);
  const way = "a start makes new ones; check the paths of [queue], [ledger] and [dlq], or restore a backup";
  throw new StoreError(first, `the three stores are missing: ${way}`);
}

function judge(paths: StorePaths, sources: readonly ReadSource[]): void {
  using open = new DisposableStack();
  const look = <Facts>(store: keyof StorePaths, read: (db: Database) => Facts, ofNew: Facts): Facts | undefined => {
    const source = sources.find(({ path }) => path === paths[store]);
    if (source === undefined) return undefined;
    try {
      const db = open.adopt(source.open(), (opened) => opened.close());
      // The transaction lasts until all are read: queue.db cannot trim batches beyond those of a pinned projection.
      db.run("BEGIN");
      return checkStore(db, source.path, MIGRATIONS[store].length) === 0 ? ofNew : read(db);
    } catch (error) {
      if (error instanceof StoreError) throw error;
      throw new StoreError(source.path, `cannot be opened: ${reasonOf(error)}`, { cause: error });
    }
  };
  // They are read before queue.db, so that a running service cannot make them look ahead of it.
  const ledger = look("ledger", readProjection, NEW_PROJECTION);
  const dlq = look("dlq", readProjection, NEW_PROJECTION);
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
  return { installation, last: readLast(db), trimmed: readTrimmed(db), epoch: readEpoch(db) };
}

function readProjection(db: Database): ProjectionFacts {
  const [installation, epoch] = [readMeta(db, "installation"), readMeta(db, "epoch")];
  return { installation, appliedSeq: Number(readMeta(db, "applied_seq")), epoch };
}

/** The reason why a missing projection cannot be rebuilt; `undefined` if queue.db still holds all its events. */
function lossOf({ trimmed, epoch: timeline }: QueueFacts, queuePath: string): string | undefined {
  if (trimmed === 0 && isInEpoch(timeline, NEW_PROJECTION)) return undefined;
  return `is missing or empty, but ${queuePath} has a history: restore all stores from one backup, or move it away, too, for a new installation`;
}

/** The reason why a projection cannot continue with queue.db. */
function problemOf(projection: ProjectionFacts, queue: QueueFacts, queuePath: string): string | undefined {
  const { installation, appliedSeq: applied } = projection;
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
  if (isInEpoch(queue.epoch, projection)) return undefined;
  return `has another history than ${queuePath} since a common copy: restore all stores from one backup, or move all of them away for a new installation`;
}

/** Refuses to create queue.db beside old projections: it would reuse batch numbers that they have applied. */
function refuseLostQueue({ queue, ledger, dlq }: StorePaths): void {
  if (!isAbsent(queue)) return;
  const orphan = [ledger, dlq].find((path) => !isAbsent(path));
  if (orphan === undefined) return;
  throw new StoreError(
    queue,
    `is missing or empty, but ${orphan} is there: put it back from a backup, or move the other stores away for a new installation`,
  );
}

/** The projections need no such check: the outbox replays what they lose. */
function refuseDamagedLog(queuePath: string): void {
  const log = `${queuePath}-wal`;
  const damage = findWalDamage(log);
  if (damage === undefined) return;
  throw new StoreError(log, `${damage}: jobs that were accepted would be lost; restore all stores from one backup`);
}
