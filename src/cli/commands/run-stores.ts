import { lstatSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lockDirectory } from "../../sqlite/file/directory-lock.ts";
import { isOwnFolder } from "../../std/own-folder.ts";
import { UsageError } from "../exit-code.ts";

const BOOKS = "fetchbox-run-";
const SETTLED_MS = 60_000;
/** What `mkdtemp` does not give: anybody else's right to read or write. */
const OTHERS = 0o077;

/** A folder for the stores of one run, which goes with it. */
interface RunStores extends Disposable {
  readonly folder: string;
}

/** Makes the folder, and removes those of runs that were killed. @throws UsageError where there is no room for it */
export function openRunStores(): RunStores {
  sweepDeadRuns();
  let folder: string;
  try {
    folder = mkdtempSync(join(tmpdir(), BOOKS));
  } catch (error) {
    const { message } = error as Error;
    throw new UsageError(`the folder for temporary files cannot be used: ${message}; set TMPDIR`, { cause: error });
  }
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

/** They hold their tasks' headers. */
function sweepDeadRuns(): void {
  for (const name of namesOf(tmpdir())) {
    if (!name.startsWith(BOOKS)) continue;
    const folder = join(tmpdir(), name);
    try {
      const found = lstatSync(folder);
      if (!isOwnFolder(found) || (found.mode & OTHERS) !== 0) continue;
      // Younger ones may be about to be locked.
      if (Date.now() - found.mtimeMs < SETTLED_MS) continue;
      const release = lockDirectory(folder);
      rmSync(folder, { recursive: true, force: true });
      release();
    } catch {
      // Somebody else's, or at work.
    }
  }
}

function namesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // said where the folder is made
  }
}
