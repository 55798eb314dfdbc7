import { relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import type { Config, StorageConfig } from "../config/schema.ts";
import type { Clock } from "../jobs/clock.ts";
import type { ObjectRef } from "../jobs/object-store.ts";
import { lockDirectory } from "../sqlite/directory-lock.ts";
import { StoreLockedError } from "../sqlite/store-error.ts";
import { openStores } from "../sqlite/stores.ts";
import { repair } from "../verify/repair.ts";
import { storePaths } from "../verify/snapshot.ts";
import { type Verified, verify } from "../verify/verify.ts";
import { allowedBuckets } from "./handlers.ts";
import { lookAtObjectStore } from "./object-store.ts";

/** What a task may take beside its timeout: its settlement, with a disk that is full for a while. */
const SETTLE_MS = 600_000;

/** Checks everything that the configuration names. @throws StoreError, Failure */
export function verifyAll(config: Config, deep: boolean, clock: Clock, signal: AbortSignal): Promise<Verified> {
  return verify({
    paths: storePaths(foldersOf(config)),
    connect: (installation) => lookAtObjectStore(config.storage, installation, clock),
    refOf: (url) => refOf(config.storage, url),
    buckets: [...allowedBuckets(config)],
    claimMsMax: config.queue.task_timeout_ms + config.queue.max_throttle_ms + SETTLE_MS,
    deep,
    isRunning: () => isLocked(config.queue.path),
    clock,
    signal,
  });
}

/**
 * Puts right what can be; says what it did.
 * @throws StoreLockedError while a service works on the stores; StoreError, Failure
 */
export async function repairAll(config: Config, found: Verified, clock: Clock, signal: AbortSignal): Promise<string[]> {
  const folders = foldersOf(config);
  // Holds the locks, and gives the followers what they missed: counted twice otherwise.
  const stores = openStores({
    ...folders,
    clock,
    onLag: (_follower, error) => {
      throw error;
    },
  });
  try {
    const store = lookAtObjectStore(config.storage, stores.installation, clock);
    return await repair(storePaths(folders), found.strays, store, signal);
  } finally {
    stores.close();
  }
}

function foldersOf({ queue, ledger, dlq }: Config) {
  return { queuePath: queue.path, ledgerPath: ledger.path, dlqPath: dlq.path };
}

function isLocked(path: string): boolean {
  try {
    lockDirectory(path)();
    return false;
  } catch (error) {
    if (error instanceof StoreLockedError) return true;
    throw error;
  }
}

/** The place of an object that the ledger names by a URL. */
function refOf({ backend, path }: StorageConfig, url: string): ObjectRef | undefined {
  if (backend === "s3") {
    const [, bucket, key] = /^s3:\/\/([^/]+)\/(.+)$/s.exec(url) ?? [];
    return bucket === undefined || key === undefined ? undefined : { bucket, key };
  }
  if (!url.startsWith("file://")) return undefined;
  const [bucket = "", ...key] = relative(resolve(path), fileURLToPath(url)).split(sep);
  return bucket === "" || bucket === ".." || key.length === 0 ? undefined : { bucket, key: key.join("/") };
}
