import { lstatSync, readdirSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { isDiskFull, StoreError, UpgradeBackupError } from "../../jobs/stores/store-error.ts";
import { isOwnFolder } from "../../std/own-folder.ts";
import { isAbsent, readSchemaVersion } from "../file/database.ts";
import { MIGRATIONS } from "../file/migrations.ts";
import { readSteadily } from "../file/read-only.ts";
import type { StorePaths } from "../file/store-paths.ts";
import { BackupFolderError, backUpStores } from "./back-up-stores.ts";

export interface UpgradeBackup {
  /** The version of the program. */
  readonly version: string;
  /** Called with the backup's folder before the copy, which can take long. */
  readonly onBackup: (folder: string) => void;
}

const STORES = ["queue", "ledger", "dlq"] as const;

/**
 * Backs up the stores if this program would upgrade the schema of one of them: an older program refuses upgraded
 * stores, so the backup is the way back. It stands beside queue.db. Its name has the schemas of all stores, so that a
 * start after an interrupted upgrade does not replace the backup from before it. The caller holds the locks of the
 * folders.
 * @throws UpgradeBackupError if the backup fails, StoreError if a store is damaged; the stores then stay unchanged
 */
export function backUpBeforeUpgrade(paths: StorePaths, { version, onBackup }: UpgradeBackup, now: number): void {
  if (Object.values(paths).some(isAbsent)) return;
  const schemas = schemasOf(paths);
  // A store without tables holds as little as a missing one: the start completes it.
  if (STORES.some((store) => schemas[store] === 0)) return;
  if (STORES.every((store) => schemas[store] === MIGRATIONS[store].length)) return;
  const name = `before-upgrade-${STORES.map((store) => `${store}${schemas[store]}`).join("-")}`;
  const folder = join(dirname(paths.queue), name);
  onBackup(folder);
  try {
    removeInterrupted(folder);
    // The older backup goes last: if the copy fails, it is the only one.
    backUpStores(paths, folder, { version, now, isOurs: true, onCopied: () => removeOwn(folder) });
  } catch (error) {
    throw error instanceof StoreError ? error : failure(folder, error);
  }
}

function schemasOf(paths: StorePaths): Record<keyof StorePaths, number> {
  const list = STORES.map((store) => paths[store]);
  return readSteadily(
    list,
    (sources) => {
      const schemas = sources.map((source) => {
        using db = source.open();
        return readSchemaVersion(db);
      });
      return { queue: schemas[0] ?? 0, ledger: schemas[1] ?? 0, dlq: schemas[2] ?? 0 };
    },
    true,
  );
}

/** Removes what an interrupted backup to the same folder left. */
function removeInterrupted(folder: string): void {
  const parent = dirname(folder);
  for (const entry of readdirSync(parent)) {
    if (entry.startsWith(`.${basename(folder)}.partial-`)) removeOwn(join(parent, entry));
  }
}

/** Removes a folder, but nothing else that has its name. */
function removeOwn(folder: string): void {
  const stats = lstatSync(folder, { throwIfNoEntry: false });
  if (stats !== undefined && isOwnFolder(stats)) rmSync(folder, { recursive: true });
}

function failure(folder: string, error: unknown): UpgradeBackupError {
  const cause = error instanceof BackupFolderError ? error.cause : error;
  const reason = isDiskFull(cause) ? "the disk is full" : (cause as Error).message;
  const remedy = "make room or solve that, or set queue.upgrade_backup = false after a backup of your own";
  return new UpgradeBackupError(`${folder}: the backup before the upgrade failed: ${reason}; ${remedy}`, { cause });
}
