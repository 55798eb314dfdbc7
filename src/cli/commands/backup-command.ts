import { lstatSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, type Stats, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { isDiskFull, isForbidden, StoreError } from "../../jobs/stores/store-error.ts";
import { copyStores } from "../../sqlite/file/copy-stores.ts";
import { namedDamage } from "../../sqlite/file/find-damage.ts";
import { storePaths } from "../../sqlite/file/store-paths.ts";
import { sync } from "../../sqlite/file/sync.ts";
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

/**
 * Copies the three stores as of one moment, also while the service runs. The copy gets its name once it is complete and
 * on the disk.
 */
export function backup(directory: string, options: BackupOptions, context: CliContext): void {
  const { queue, ledger, dlq } = configOf(options, context);
  const target = resolve(context.cwd, directory);
  requireFree(target);
  const paths = storePaths({ queuePath: queue.path, ledgerPath: ledger.path, dlqPath: dlq.path });
  const partial = makePartial(target);
  try {
    const { installation, seq, jobs, tasks } = copyStores(paths, partial);
    const about = { version: VERSION, created_at: new Date().toISOString(), installation, seq, jobs, tasks };
    writeFileSync(join(partial, "backup.json"), `${JSON.stringify(about, null, 2)}\n`, { mode: 0o600, flush: true });
    sync(partial);
    moveInto(target, partial);
    sync(dirname(target));
    const text = `${printable(target)}: ${counted(jobs, "job")}, ${counted(tasks, "task")}\n`;
    context.out(options.json === true ? jsonLine({ directory: target, ...about }) : text);
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    throw failure(error, target, Object.values(paths));
  }
}

/** Makes a private folder with an unguessable name: in a shared folder another user may have made a known name. */
function makePartial(target: string): string {
  try {
    mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
    return mkdtempSync(join(dirname(target), `.${basename(target)}.partial-`));
  } catch (error) {
    if (isDiskFull(error)) throw diskFull(target, error);
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOTDIR" || code === "EEXIST") throw belowFile(target, error);
    const text = `cannot make a directory in ${dirname(target)}: ${message}; name another directory`;
    throw isForbidden(error) ? new UsageError(text, { cause: error }) : new WorkFailedError(text, { cause: error });
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

/** The rename replaces an empty folder only, so it never overwrites files that appeared in the meantime. */
function moveInto(target: string, partial: string): void {
  try {
    renameSync(partial, target);
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === "ENOTEMPTY" || code === "EEXIST") throw taken(target, "is not empty");
    if (code === "ENOTDIR") throw taken(target, "is not a directory");
    throw error;
  }
}

function taken(target: string, how: string): UsageError {
  return new UsageError(`${target} already exists and ${how}; name another directory`);
}

function diskFull(target: string, cause: unknown): WorkFailedError {
  return new WorkFailedError(`the disk of ${target} is full; the backup was removed`, { cause });
}

function failure(error: unknown, target: string, stores: readonly string[]): unknown {
  if (error instanceof UsageError) return error;
  if (isDiskFull(error)) return diskFull(target, error);
  const named = namedDamage(error, stores);
  if (named instanceof StoreError) return named;
  return new WorkFailedError(`the backup failed and was removed: ${(error as Error).message}`, {
    cause: error,
  });
}
