import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { copyStores } from "../sqlite/backup.ts";
import { namedDamage } from "../sqlite/find-damage.ts";
import { isDiskFull } from "../sqlite/store-error.ts";
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
  if (existsSync(target) && readdirSync(target).length > 0) {
    throw new UsageError(`${target} is there already and not empty; name another directory`);
  }
  const paths = storePaths({ queuePath: queue.path, ledgerPath: ledger.path, dlqPath: dlq.path });
  const partial = join(dirname(target), `.${basename(target)}.partial-${process.pid}`);
  try {
    mkdirSync(partial, { recursive: true, mode: 0o700 });
    const { installation, seq, jobs, tasks } = copyStores(paths, partial);
    const about = { version: VERSION, created_at: new Date().toISOString(), installation, seq, jobs, tasks };
    writeFileSync(join(partial, "backup.json"), `${JSON.stringify(about, null, 2)}\n`, { mode: 0o600, flush: true });
    sync(partial);
    if (existsSync(target)) rmSync(target, { recursive: true });
    renameSync(partial, target);
    sync(dirname(target));
    const text = `${printable(target)}: ${counted(jobs, "job")}, ${counted(tasks, "task")}\n`;
    context.out(options.json === true ? jsonLine({ directory: target, ...about }) : text);
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    if (!isDiskFull(error)) throw namedDamage(error, Object.values(paths));
    throw new WorkFailedError(`the disk of ${target} is full; nothing was kept`, { cause: error });
  }
}
