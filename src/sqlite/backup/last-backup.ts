import { closeSync, fchmodSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** The file beside queue.db that has the time of the last backup. */
const FILE = "last-backup";

/** Writes the time of a backup beside queue.db, as a whole. The service may be another user, so anyone may read it. */
export function noteBackup(queueFolder: string, at: string): void {
  const draft = join(queueFolder, `.${FILE}-${Bun.randomUUIDv7()}`);
  try {
    const file = openSync(draft, "wx", 0o600);
    try {
      writeFileSync(file, `${at}\n`, { flush: true });
      fchmodSync(file, 0o644); // whatever the umask is
    } finally {
      closeSync(file);
    }
    renameSync(draft, join(queueFolder, FILE));
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}

/** The time of the last backup, milliseconds since the epoch; `undefined` if the file is missing or has no time. */
export async function readLastBackup(queueFolder: string): Promise<number | undefined> {
  const text = await readFile(join(queueFolder, FILE), "utf8").catch(() => "");
  const at = Date.parse(text.trim());
  return Number.isNaN(at) ? undefined : at;
}
