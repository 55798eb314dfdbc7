import { lstat, mkdir, rmdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { BoundedMap } from "../../std/collections/bounded-map.ts";
import { isForeignLink } from "../../std/own-folder.ts";
import { errnoOf } from "./local-failure.ts";
import { openFile } from "./open-file.ts";

/** Folders remembered as existing; beyond that the oldest is looked up again. */
const KNOWN_MAX = 4096;

export interface Folders {
  /** Makes a folder and those above it, durably. A link is never taken for a folder. Throws the system's error. */
  ensure(folder: string): Promise<void>;
  /** Makes renames into a folder durable. Calls that wait at the same time share one fsync. */
  sync(folder: string): Promise<void>;
  /** The folder may be missing: it is looked up again next time. */
  forget(folder: string): void;
  /** Removes empty folders from this one up to the bucket's, which stays. Never throws. */
  prune(folder: string, bucketFolder: string): Promise<void>;
}

/**
 * Folders below `root` (an absolute path), which may itself be a link, as may the folders right below it, unless
 * another user made that link.
 */
export function createFolders(root: string, fsync: boolean): Folders {
  const known = new BoundedMap<string, Promise<void>>(KNOWN_MAX);
  const syncs = createSharedSyncs();
  let isRootMade = false;

  function ensure(folder: string): Promise<void> {
    const seen = known.get(folder);
    if (seen !== undefined) return seen;
    const made = make(folder);
    known.set(folder, made);
    made.catch(() => known.get(folder) === made && known.delete(folder));
    return made;
  }

  async function make(folder: string): Promise<void> {
    if (folder === root) return await makeRoot();
    await ensure(dirname(folder));
    try {
      await mkdir(folder);
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
      const found = await lstat(folder);
      if (found.isDirectory()) return await sync(dirname(folder));
      const mayBeLink = dirname(folder) === root && found.isSymbolicLink() && !isForeignLink(found);
      if (!mayBeLink || !(await stat(folder)).isDirectory()) throw error;
    }
    // Also where it exists: the process that made it may have died before this.
    await sync(dirname(folder));
  }

  /**
   * Once: a root that is gone later was removed, or is not mounted any more, and is not to be filled anew unnoticed.
   */
  async function makeRoot(): Promise<void> {
    if (isRootMade) await stat(root);
    else await mkdir(root, { recursive: true });
    isRootMade = true;
  }

  async function sync(folder: string): Promise<void> {
    if (fsync) await syncs(folder);
  }

  function forget(folder: string): void {
    for (let above = folder; above.startsWith(root); above = dirname(above)) known.delete(above);
  }

  async function prune(folder: string, bucketFolder: string): Promise<void> {
    for (let above = folder; above.startsWith(`${bucketFolder}/`); above = dirname(above)) {
      known.delete(above);
      try {
        await rmdir(above);
      } catch (error) {
        if (errnoOf(error) !== "ENOENT" && errnoOf(error) !== "ENOTDIR") return;
      }
    }
  }

  return { ensure, sync, forget, prune };
}

/** fsync of a folder, where a call that comes while one runs joins the next one, which sees its changes. */
function createSharedSyncs(): (folder: string) => Promise<void> {
  const running = new Map<string, Promise<void>>();
  const next = new Map<string, Promise<void>>();

  async function run(folder: string): Promise<void> {
    const file = await openFile(folder, "r");
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  }

  function start(folder: string): Promise<void> {
    const started = run(folder).finally(() => running.get(folder) === started && running.delete(folder));
    running.set(folder, started);
    return started;
  }

  return (folder) => {
    const current = running.get(folder);
    if (current === undefined) return start(folder);
    const joined = next.get(folder);
    if (joined !== undefined) return joined;
    const after = () => {
      next.delete(folder);
      return start(folder);
    };
    const queued = current.then(after, after);
    next.set(folder, queued);
    return queued;
  };
}
