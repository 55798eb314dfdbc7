import { lstatSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lockDirectory } from "../../sqlite/file/directory-lock.ts";
import { systemClock } from "../../std/clock.ts";
import { isOwnFolder } from "../../std/own-folder.ts";
import { UsageError } from "../exit-code.ts";

const PREFIX = "fetchbox-run-";
const SETTLED_MS = 60_000;
/** The permissions of other users, which `mkdtemp` never sets. */
const OTHERS = 0o077;

/** A folder for the stores of one run; `dispose` removes it. */
interface RunStores extends Disposable {
  readonly folder: string;
}

/** Makes the folder, and removes the folders of killed runs. @throws UsageError if TMPDIR is not writable */
export function openRunStores(): RunStores {
  sweepDeadRuns();
  let folder: string;
  try {
    folder = mkdtempSync(join(tmpdir(), PREFIX));
  } catch (error) {
    const { message } = error as Error;
    throw new UsageError(`cannot make a folder for temporary files: ${message}; set TMPDIR`, { cause: error });
  }
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Removes the folders of killed runs, because they contain the headers of tasks. */
function sweepDeadRuns(): void {
  for (const name of namesOf(tmpdir())) {
    if (!name.startsWith(PREFIX)) continue;
    const folder = join(tmpdir(), name);
    try {
      const found = lstatSync(folder);
      if (!isOwnFolder(found) || (found.mode & OTHERS) !== 0) continue;
      // The run of a younger folder may not have locked it yet.
      if (systemClock.now() - found.mtimeMs < SETTLED_MS) continue;
      const release = lockDirectory(folder);
      rmSync(folder, { recursive: true, force: true });
      release();
    } catch {
      // The folder belongs to another user or to a live run.
    }
  }
}

function namesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // openRunStores reports it
  }
}
