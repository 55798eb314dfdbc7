import type { Database } from "bun:sqlite";
import { dirname, resolve } from "node:path";
import type { StoreRefusal, Stores } from "../jobs/stores/service-stores.ts";
import { isBroken, isDiskFull, StoreError } from "../jobs/stores/store-error.ts";
import type { Clock, PeriodicTask } from "../std/clock.ts";
import type { Reach } from "../std/failpoint.ts";
import { backUpBeforeUpgrade, type UpgradeBackup } from "./backup/back-up-before-upgrade.ts";
import type { OnDrift } from "./counters.ts";
import { DeadLetters } from "./dead-letters/dead-letters.ts";
import { closeDatabase, openDatabase, upgradeDatabase } from "./file/database.ts";
import { hasLockFile, lockDirectory } from "./file/directory-lock.ts";
import { advanceEpoch, joinEpoch } from "./file/epoch.ts";
import { inspectStores } from "./file/inspect.ts";
import { readMeta, writeMeta } from "./file/meta.ts";
import { MIGRATIONS } from "./file/migrations.ts";
import { StoreFileWatch } from "./file/store-file-watch.ts";
import { type StorePaths, storePaths } from "./file/store-paths.ts";
import { Ledger } from "./ledger/ledger.ts";
import { Outbox, type Projection } from "./outbox.ts";
import { JobCache } from "./queue/queue-context.ts";
import { openTaskQueue, type TaskQueue } from "./queue/task-queue.ts";

interface StoresOptions {
  /** Folders of queue.db, ledger.db and dlq.db; they may be one. */
  readonly queuePath: string;
  readonly ledgerPath: string;
  readonly dlqPath: string;
  readonly clock: Pick<Clock, "now" | "steady">;
  /** Called when a projection could not apply a batch. It gets the batch later. */
  readonly onLag: (projection: Projection, error: unknown) => void;
  /** Called when the projections have all that they missed. */
  readonly onDelivered?: () => void;
  readonly onCommit?: (durationMs: number, members: number) => void;
  /** Called when a wrong counter has been recounted. */
  readonly onDrift: OnDrift;
  /** Called when queue.db's disk had no room for a commit. */
  readonly onFull?: (error: unknown) => void;
  /** Called once when the content of a store has become unknown. No store is written from then on. */
  readonly onBroken?: (error: StoreError) => void;
  /** The copy that a start makes before it upgrades a schema; absent: it makes none. */
  readonly upgradeBackup?: UpgradeBackup;
  /** For crash tests that must show a loss of power: no commit is synced. */
  readonly isUnsafe?: boolean;
  /** For crash tests: called with the name of each step that is passed. */
  readonly reach?: Reach;
}

/** The three SQLite stores, with the parts that only this backend has. The id of the installation is in all three. */
export interface SqliteStores extends Stores {
  readonly queue: TaskQueue;
  readonly ledger: Ledger;
  readonly deadLetters: DeadLetters;
  readonly outbox: Outbox;
  catchUp(): void;
  finish(): void;
  close(): void;
}

/** Time between two deliveries of what a projection missed. */
const DELIVER_EVERY_MS = 1000;

/** A process that checks whether a folder is locked holds the lock for a moment. */
const PROBE_MS = 500;

/**
 * Opens the three stores for this process alone, creates those that a new installation lacks, and brings the
 * projections up to date with queue.db. If the disk has no room for that, the stores can be read, and the queue
 * refuses every change until `catchUp` has succeeded.
 * @throws StoreLockedError if another process holds one of the folders.
 * @throws StoreError if a store is missing beside its siblings, foreign, damaged or from another time. Their files
 * then stay unchanged.
 */
export function openStores(options: StoresOptions): SqliteStores {
  const releases: (() => void)[] = [];
  const close = () => {
    for (const release of releases.splice(0).reverse()) release();
  };
  try {
    const paths = storePaths(options);
    lockAndInspect(paths, releases);
    if (options.upgradeBackup !== undefined) backUpBeforeUpgrade(paths, options.upgradeBackup, options.clock.now());
    const files = openFiles(paths, options.isUnsafe === true, releases);
    return joinStores(files, options, releases, close);
  } catch (error) {
    close();
    throw error;
  }
}

/** Locks folders without a lock file last, so that refused stores and their folders stay unchanged. */
function lockAndInspect(paths: StorePaths, releases: (() => void)[]): void {
  const folders = new Set(Object.values(paths).map((path) => dirname(resolve(path))));
  const lock = (folder: string) => releases.push(lockDirectory(folder, PROBE_MS));
  const [known, others] = [[...folders].filter(hasLockFile), [...folders].filter((folder) => !hasLockFile(folder))];
  known.forEach(lock);
  inspectStores(paths, true);
  others.forEach(lock);
}

interface OpenFiles {
  readonly paths: StorePaths;
  readonly installation: string;
  readonly queue: Database;
  readonly ledger: Database;
  readonly dlq: Database;
}

function openFiles(paths: StorePaths, isUnsafe: boolean, releases: (() => void)[]): OpenFiles {
  const open = (store: keyof StorePaths, installation: string) => {
    const found = (created: Database) => writeMeta(created, "installation", installation);
    const [path, migrations] = [paths[store], MIGRATIONS[store]];
    const safe = store === "queue" ? "FULL" : "NORMAL";
    const synchronous = isUnsafe ? "OFF" : safe;
    const db = openDatabase({ path, migrations, synchronous, found });
    releases.push(() => closeDatabase(db));
    upgradeDatabase(db, { path, migrations });
    // A file that existed without tables was not completed by `found`.
    if (readMeta(db, "installation") === "") found(db);
    return db;
  };
  const queue = open("queue", Bun.randomUUIDv7());
  const installation = readMeta(queue, "installation");
  return { paths, installation, queue, ledger: open("ledger", installation), dlq: open("dlq", installation) };
}

function joinStores(
  files: OpenFiles,
  options: StoresOptions,
  releases: (() => void)[],
  close: () => void,
): SqliteStores {
  const { paths, installation } = files;
  const jobs = new JobCache(files.queue);
  const bringUpToDate = () => outbox.deliver();
  const ledger = new Ledger(files.ledger, paths.ledger, bringUpToDate, options.onDrift);
  const deadLetters = new DeadLetters(files.dlq, paths.dlq, {
    jobOf: (seq) => jobs.get(seq),
    bringUpToDate,
    onDrift: options.onDrift,
  });
  let isHalted = false;
  const notice = (path: string, error: unknown) => {
    if (isHalted || !isBroken(error)) return;
    isHalted = true;
    const broken = new StoreError(path, `${(error as Error).message}: ${WAY_OUT}`, { cause: error });
    queue.gate.halt(broken);
    outbox.close();
    options.onBroken?.(broken);
  };
  // Dead letters come first: they are readable before the job shows its end.
  const projections = [
    watched(guarded(deadLetters.projection, notice), "dlq", options.reach),
    watched(guarded(ledger.projection, notice), "ledger", options.reach),
  ];
  const noticeQueue = (error: unknown) => {
    if (isDiskFull(error)) options.onFull?.(error);
    notice(paths.queue, error);
  };
  const outbox: Outbox = new Outbox(files.queue, projections, options.onLag, noticeQueue);
  releases.push(() => outbox.close());
  const queue: TaskQueue = openTaskQueue({
    db: files.queue,
    onFailed: noticeQueue,
    outbox,
    jobs,
    clock: options.clock,
    onDrift: options.onDrift,
    ...(options.onCommit !== undefined && { onCommit: options.onCommit }),
    ...(options.reach !== undefined && { reach: options.reach }),
  });
  const settle = settleOnce(files, outbox);
  const catchUp = () => {
    settle();
    queue.gate.resume();
  };
  try {
    catchUp();
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    queue.gate.hold(error);
  }
  const parts = { installation, queue, ledger, deadLetters, outbox, catchUp, close };
  return { ...parts, ...serviceOf(queue, outbox, new StoreFileWatch(paths), options.onDelivered) };
}

/** What the stores offer to the service beside their parts. */
function serviceOf(
  queue: TaskQueue,
  outbox: Outbox,
  fileWatch: StoreFileWatch,
  onDelivered: StoresOptions["onDelivered"],
) {
  const delivery: PeriodicTask = {
    everyMs: DELIVER_EVERY_MS,
    run: () => {
      if (deliver(outbox)) onDelivered?.();
    },
  };
  return {
    periodicTasks: [delivery],
    problemOf: (store) => fileWatch.problemOf(store),
    refusal: () => refusalOf(queue, outbox, fileWatch),
    hold: (error) => queue.gate.hold(error),
    tryWrite: () => queue.tryWrite(),
    makeDurable: async () => outbox.makeDurable(),
    abandon: () => queue.abandon(),
    finish() {
      queue.flush();
      // While the queue is held, the opening may have yet to compare the stores with each other.
      if (queue.gate.heldBy === undefined) deliver(outbox);
    },
  } satisfies Partial<SqliteStores>;
}

/** Delivers missed batches to the projections and trims the outbox. False if a projection still cannot be written. */
function deliver(outbox: Outbox): boolean {
  try {
    if (!outbox.isDelivered) outbox.replay();
    outbox.trim();
    return true;
  } catch {
    // The first failure was logged; readiness shows it until a delivery works.
    return false;
  }
}

function refusalOf(queue: TaskQueue, outbox: Outbox, fileWatch: StoreFileWatch): StoreRefusal | undefined {
  if (!fileWatch.isWhole) {
    const message = "a store was deleted or moved away while it was in use; /operators/health names it";
    return { isDiskFull: false, message };
  }
  const { heldBy } = queue.gate;
  if (heldBy !== undefined) {
    return { isDiskFull: true, message: "the disk is full; jobs are accepted again when it has room", cause: heldBy };
  }
  return outbox.isStuck ? behindRefusal(outbox.lastError) : undefined;
}

/** The refusal while a projection cannot be written: an accepted job could not be read back. */
function behindRefusal(cause: unknown): StoreRefusal {
  if (isDiskFull(cause)) return { isDiskFull: true, message: "the disk of ledger.db or dlq.db is full", cause };
  return { isDiskFull: false, message: "ledger.db or dlq.db cannot be written to", cause };
}

/** The writes of an opening: the projections catch up and a new epoch starts. After a success it does no more. */
function settleOnce({ queue, ledger, dlq }: OpenFiles, outbox: Outbox): () => void {
  let isSettled = false;
  return () => {
    if (isSettled) return;
    joinEpoch(queue, [ledger, dlq]);
    outbox.replay();
    if (outbox.isDurable()) advanceEpoch(queue, [ledger, dlq], outbox.last);
    isSettled = true;
  };
}

const WAY_OUT =
  "the content of the disk is unknown now, so no store is written any more; check the disk, then start again";

/** A projection whose errors go to `notice` before they count as a lag. */
function guarded(projection: Projection, notice: (path: string, error: unknown) => void): Projection {
  const noticed = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      notice(projection.path, error);
      throw error;
    }
  };
  return {
    ...projection,
    apply: (first, batches) => noticed(() => projection.apply(first, batches)),
    checkpoint: () => noticed(() => projection.checkpoint()),
  };
}

/** A projection that reports each completed step to `reach`, if that is given. */
function watched(projection: Projection, store: "dlq" | "ledger", reach: Reach | undefined): Projection {
  if (reach === undefined) return projection;
  return {
    ...projection,
    apply(first, batches) {
      projection.apply(first, batches);
      reach(`${store}.applied`);
    },
    checkpoint() {
      const durable = projection.checkpoint();
      reach(`${store}.checkpointed`);
      return durable;
    },
  };
}
