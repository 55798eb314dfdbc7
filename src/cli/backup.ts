import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { copyStores } from "../sqlite/backup.ts";
import { namedDamage } from "../sqlite/find-damage.ts";
import { isDiskFull, StoreError } from "../sqlite/store-error.ts";
import { storePaths } from "../sqlite/store-paths.ts";
import { sync } from "../sqlite/sync.ts";
import { VERSION } from "../version.ts";
import { configOf } from "./config.ts";
import { UsageError, WorkFailedError } from "./exit-code.ts";
import type { CliContext, ConfigOptions } from "./program.ts";
import { jsonLine, printable } from "./terminal-text.ts";
import { counted } from "./units.ts";

export interface BackupOptions extends ConfigOptions {
  readonly json?: true;
}

/**
 * Copies the three stores, as of one moment, of a service that runs or does not. The copy appears under its name when it
 * is whole and on the disk.
 */
export function backup(directory: string, options: BackupOptions, context: CliContext): void {
  const { queue, ledger, dlq } = configOf(options, context);
  const target = resolve(context.cwd, directory);
  refuseTaken(target);
  const paths = storePaths({ queuePath: queue.path, ledgerPath: ledger.path, dlqPath: dlq.path });
  const partial = makePartial(target);
  try {
    const { installation, seq, jobs, tasks } = copyStores(paths, partial);
    const about = { version: VERSION, created_at: new Date().toISOString(), installation, seq, jobs, tasks };
    writeFileSync(join(partial, "backup.json"), `${JSON.stringify(about, null, 2)}\n`, { mode: 0o600, flush: true });
    sync(partial);
    // An empty folder gives way; whatever came there meanwhile does not.
    renameSync(partial, target);
    sync(dirname(target));
    const text = `${printable(target)}: ${counted(jobs, "job")}, ${counted(tasks, "task")}\n`;
    context.out(options.json === true ? jsonLine({ directory: target, ...about }) : text);
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    throw failure(error, target, Object.values(paths));
  }
}

/** @throws UsageError if something is there that a backup would have to replace */
function refuseTaken(target: string): void {
  try {
    if (readdirSync(target).length === 0) return;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return;
    if (code !== "ENOTDIR") throw new WorkFailedError(`${target} cannot be looked at: ${message}`, { cause: error });
    throw new UsageError(`${target} is a file, or lies below one; name a directory that is not there yet`, {
      cause: error,
    });
  }
  throw new UsageError(`${target} is there already and not empty; name another directory`);
}

/** A folder beside the target, whose name nobody can foresee. */
function makePartial(target: string): string {
  try {
    mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
    return mkdtempSync(join(dirname(target), `.${basename(target)}.partial-`));
  } catch (error) {
    const { message } = error as Error;
    throw new WorkFailedError(`${dirname(target)} takes no backup: ${message}; name a directory that can be made`, {
      cause: error,
    });
  }
}

function failure(error: unknown, target: string, stores: readonly string[]): unknown {
  if (isDiskFull(error)) {
    return new WorkFailedError(`the disk of ${target} is full; nothing was kept`, { cause: error });
  }
  const named = namedDamage(error, stores);
  if (named instanceof StoreError) return named;
  return new WorkFailedError(`the backup could not be made, nothing was kept: ${(error as Error).message}`, {
    cause: error,
  });
}
