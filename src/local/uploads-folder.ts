import { lstatSync } from "node:fs";
import { join } from "node:path";

/** Folder of the temporaries. It lies beside the buckets, whose names never start with a dot. */
export const UPLOADS = ".uploads";

/** Says why the temporaries cannot be below `root`, or nothing: through a link they would be written and swept anywhere. */
export function uploadsProblem(root: string): string | undefined {
  const folder = join(root, UPLOADS);
  const found = lstatSync(folder, { throwIfNoEntry: false });
  if (found === undefined || found.isDirectory()) return undefined;
  return `${folder} must be a folder, and no ${found.isSymbolicLink() ? "link" : "file"}; remove it`;
}
