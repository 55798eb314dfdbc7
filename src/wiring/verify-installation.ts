import type { Config } from "../config/schema.ts";
import { runInManifest } from "../intake/manifest/stored-manifest.ts";
import { isDirectoryLocked } from "../sqlite/file/directory-lock.ts";
import { namedDamage } from "../sqlite/file/find-damage.ts";
import { storePaths } from "../sqlite/file/store-paths.ts";
import { openStores } from "../sqlite/stores.ts";
import type { Clock } from "../std/clock.ts";
import type { Environment } from "../storage/s3/client/bun-reader.ts";
import type { CredentialSource } from "../storage/s3/credentials/credential-source.ts";
import { repair } from "../verify/repair.ts";
import { type Verified, verify } from "../verify/verify.ts";
import { allowedBuckets } from "./load-handlers.ts";
import { lookAtObjectStore, objectStoreToVerify } from "./storage/open-object-store.ts";

/** Time of a task beside its timeout: its settlement, with a disk that is full for a while. */
const SETTLE_MS = 600_000;

interface VerifyRun {
  readonly config: Config;
  readonly deep: boolean;
  /** The version of the program. */
  readonly version: string;
  readonly clock: Clock;
  /** The keys of S3 storage; `undefined` where storage is local. */
  readonly credentials: CredentialSource | undefined;
  /** The environment of the process itself, not a copy. */
  readonly environment: Environment;
  readonly signal: AbortSignal;
}

/** Checks the stores and the storage of the configuration. @throws StoreError, Failure */
export async function verifyAll(
  { config, deep, clock, credentials, environment, signal }: VerifyRun,
  isRunning = () => isDirectoryLocked(config.queue.path),
): Promise<Verified> {
  const paths = storePaths(foldersOf(config));
  const verified = verify({
    paths,
    connect: (installation) => objectStoreToVerify(config, installation, { clock, credentials, environment }),
    buckets: [...allowedBuckets(config)],
    // In S3 each manifest would need a request.
    ...(config.storage.backend === "local" && { runInManifest }),
    claimMsMax: config.queue.task_timeout_ms + config.queue.max_throttle_ms + SETTLE_MS,
    deep,
    isRunning,
    clock,
    signal,
  });
  try {
    return await verified;
  } catch (error) {
    throw namedDamage(error, Object.values(paths));
  }
}

/**
 * Opens the stores and brings the projections up to date, as a start does, also with its backup before an upgrade.
 * Then it checks and repairs. Resolves to a list of what it did.
 * @throws StoreLockedError while a service uses the stores; StoreError, Failure
 */
export async function repairAll(run: VerifyRun): Promise<string[]> {
  const { config, clock, version, credentials, signal } = run;
  const folders = foldersOf(config);
  const rebuilt: string[] = [];
  const stores = openStores({
    ...folders,
    clock,
    ...(config.queue.upgrade_backup && {
      upgradeBackup: {
        version,
        onBackup: (folder) => rebuilt.push(`old schemas: upgraded, with a backup in ${folder}`),
      },
    }),
    onDrift: (counter) => rebuilt.push(`counters of ${counter}: recounted`),
    onLag: (_projection, error) => {
      throw error;
    },
  });
  try {
    stores.catchUp();
    // This process holds the locks.
    const found = await verifyAll(run, () => false);
    const store = lookAtObjectStore(config, stores.installation, { clock, credentials });
    return [...rebuilt, ...(await repair(storePaths(folders), found, store, signal))];
  } finally {
    stores.close();
  }
}

function foldersOf({ queue, ledger, dlq }: Config) {
  return { queuePath: queue.path, ledgerPath: ledger.path, dlqPath: dlq.path };
}
