import { lstatSync, readdirSync, type Stats } from "node:fs";
import { dirname, resolve } from "node:path";
import { isDiskFull, isForbidden, StoreError } from "../../jobs/stores/store-error.ts";
import { BackupFolderError, BackupNameError, backUpStores } from "../../sqlite/backup/back-up-stores.ts";
import { noteBackup } from "../../sqlite/backup/last-backup.ts";
import { namedDamage } from "../../sqlite/file/find-damage.ts";
import { storePaths } from "../../sqlite/file/store-paths.ts";
import { systemClock } from "../../std/clock.ts";
import { isOwnFolder } from "../../std/own-folder.ts";
import { VERSION } from "../../version.ts";
import type { CliContext, ConfigOptions } from "../context.ts";
import { UsageError, WorkFailedError } from "../exit-code.ts";
import { jsonLine, printable } from "../terminal/terminal-text.ts";
import { counted } from "../terminal/units.ts";
import { configOf } from "./config-command.ts";

export interface BackupOptions extends ConfigOptions {
  readonly json?: true;
}

/** Copies the three stores as of one moment, also while the service runs. */
export function backup(directory: string, options: BackupOptions, context: CliContext): void {
  const { queue, ledger, dlq } = configOf(options, context);
  const target = resolve(context.cwd, directory);
  requireFree(target);
  const paths = storePaths({ queuePath: queue.path, ledgerPath: ledger.path, dlqPath: dlq.path });
  try {
    const facts = backUpStores(paths, target, { version: VERSION, now: systemClock.now() });
    noteBeside(paths.queue, facts.created_at, context);
    const text = `${printable(target)}: ${counted(facts.jobs, "job")}, ${counted(facts.tasks, "task")}\n`;
    context.out(options.json === true ? jsonLine({ directory: target, ...facts }) : text);
  } catch (error) {
    throw failure(error, target, Object.values(paths));
  }
}

/** The backup is complete, so a failure to write its time down is no failure of the backup. */
function noteBeside(queueDb: string, at: string, context: CliContext): void {
  try {
    noteBackup(dirname(queueDb), at);
  } catch (error) {
    const reason = (error as Error).message;
    context.err(
      `fetchbox: the backup is complete, but its time cannot be written beside ${queueDb}: ${reason}; ` +
        "run the backup as the user of the service, or fetchbox_last_backup_timestamp_seconds does not show it\n",
    );
  }
}

/** @throws UsageError if the path exists, unless it is an empty folder of this user */
function requireFree(target: string): void {
  const found = foundAt(target);
  if (found === undefined) return;
  if (!found.isDirectory()) throw taken(target, "is not a directory");
  if (!isOwnFolder(found)) throw taken(target, "belongs to another user");
  if (readdirSync(target).length > 0) throw taken(target, "is not empty");
}

function foundAt(target: string): Stats | undefined {
  try {
    return lstatSync(target, { throwIfNoEntry: false });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOTDIR") throw belowFile(target, error);
    throw new WorkFailedError(`cannot access ${target}: ${message}`, { cause: error });
  }
}

function belowFile(target: string, cause: unknown): UsageError {
  return new UsageError(`a part of ${target} is a file; name another directory`, { cause });
}

/** The error of a folder that could not be made, or could not get its name. */
function folderFailure(error: BackupFolderError, target: string): unknown {
  const { cause } = error;
  if (isDiskFull(cause)) return diskFull(target, cause);
  if (error instanceof BackupNameError) {
    if (cause.code === "ENOTEMPTY" || cause.code === "EEXIST") return taken(target, "is not empty");
    if (cause.code === "ENOTDIR") return taken(target, "is not a directory");
    return removed(cause);
  }
  if (cause.code === "ENOTDIR" || cause.code === "EEXIST") return belowFile(target, cause);
  const text = `cannot make a directory in ${dirname(target)}: ${cause.message}; name another directory`;
  return isForbidden(cause) ? new UsageError(text, { cause }) : new WorkFailedError(text, { cause });
}

function taken(target: string, how: string): UsageError {
  return new UsageError(`${target} already exists and ${how}; name another directory`);
}

function diskFull(target: string, cause: unknown): WorkFailedError {
  return new WorkFailedError(`the disk of ${target} is full; the backup was removed`, { cause });
}

function failure(error: unknown, target: string, stores: readonly string[]): unknown {
  if (error instanceof BackupFolderError) return folderFailure(error, target);
  if (isDiskFull(error)) return diskFull(target, error);
  const named = namedDamage(error, stores);
  if (named instanceof StoreError) return named;
  return removed(error);
}

function removed(cause: unknown): WorkFailedError {
  return new WorkFailedError(`the backup failed and was removed: ${(cause as Error).message}`, { cause });
}
