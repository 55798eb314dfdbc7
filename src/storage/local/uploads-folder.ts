import { lstatSync } from "node:fs";
import { join } from "node:path";
import { isOwnFolder } from "../../std/own-folder.ts";

/** Folder of the temporaries. It lies beside the buckets, whose names never start with a dot. */
export const UPLOADS = ".uploads";

/**
 * The reason why the temporaries cannot be below `root`, or `undefined`. Through a link they would be written and swept
 * anywhere, and in another user's folder they could be exchanged before they become objects.
 */
export function uploadsProblem(root: string): string | undefined {
  const folder = join(root, UPLOADS);
  const found = lstatSync(folder, { throwIfNoEntry: false });
  if (found === undefined || isOwnFolder(found)) return undefined;
  if (found.isDirectory()) return `${folder} belongs to another user; remove it, or give it to this one`;
  return `${folder} must be a folder, and no ${found.isSymbolicLink() ? "link" : "file"}; remove it`;
}
