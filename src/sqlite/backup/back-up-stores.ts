import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { StorePaths } from "../file/store-paths.ts";
import { sync } from "../file/sync.ts";
import { type BackupSummary, copyStores } from "./copy-stores.ts";
import { noteBackup } from "./last-backup.ts";

/** The content of a backup's `backup.json`. */
interface BackupFacts extends BackupSummary {
  /** The version of the program that made the backup. */
  readonly version: string;
  /** RFC 3339. */
  readonly created_at: string;
}

interface BackUpOptions {
  readonly version: string;
  /** Wall clock, milliseconds since the epoch. */
  readonly now: number;
  /** The caller holds the locks of the stores' folders. */
  readonly isOurs?: boolean;
  /** Called when the copy is complete, before it gets its name. */
  readonly onCopied?: () => void;
}

/** The folder of a backup could not be made. */
export class BackupFolderError extends Error {
  override readonly name = "BackupFolderError";
  override readonly cause: NodeJS.ErrnoException;

  constructor(cause: unknown) {
    super((cause as Error).message);
    this.cause = cause as NodeJS.ErrnoException;
  }
}

/** The folder of a backup could not get its name, because something else has it now. */
export class BackupNameError extends BackupFolderError {}

/**
 * Copies the three stores as of one moment into the folder `target`, which must be absent or empty. The copy gets its
 * name once it is complete and on the disk; after an error nothing of it is left.
 * @throws BackupFolderError, BackupNameError, or the errors of `copyStores`
 */
export function backUpStores(paths: StorePaths, target: string, options: BackUpOptions): BackupFacts {
  const { version, now, isOurs, onCopied } = options;
  const partial = makePartial(target);
  try {
    const summary = copyStores(paths, partial, isOurs);
    const facts = { version, created_at: new Date(now).toISOString(), ...summary };
    writeFileSync(join(partial, "backup.json"), `${JSON.stringify(facts, null, 2)}\n`, { mode: 0o600, flush: true });
    // Restored stores are as old as their backup, not without one.
    noteBackup(join(partial, "queue"), facts.created_at);
    sync(partial);
    onCopied?.();
    moveInto(target, partial);
    sync(dirname(target));
    return facts;
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    throw error;
  }
}

/** Makes a private folder with an unguessable name: in a shared folder another user may have made a known name. */
function makePartial(target: string): string {
  try {
    mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
    return mkdtempSync(join(dirname(target), `.${basename(target)}.partial-`));
  } catch (error) {
    throw new BackupFolderError(error);
  }
}

/** The rename replaces an empty folder only, so it never overwrites files that appeared in the meantime. */
function moveInto(target: string, partial: string): void {
  try {
    renameSync(partial, target);
  } catch (error) {
    throw new BackupNameError(error);
  }
}
