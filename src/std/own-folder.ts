import type { Stats } from "node:fs";

/**
 * Whether an `lstat` shows a real folder of this process's own user. In a folder that others may write to, a link or
 * another user's folder can stand under any name, and what we lock, change or remove there would be theirs to choose.
 */
export function isOwnFolder(found: Pick<Stats, "isDirectory" | "uid">): boolean {
  // Without users (Windows) every folder counts as ours.
  const uid = process.geteuid?.() ?? found.uid;
  return found.isDirectory() && found.uid === uid;
}

/** Whether an `lstat` shows a link that another user made. Root's links are an administrator's choice. */
export function isForeignLink(found: Pick<Stats, "isSymbolicLink" | "uid">): boolean {
  const uid = process.geteuid?.() ?? found.uid;
  return found.isSymbolicLink() && found.uid !== uid && found.uid !== 0;
}
