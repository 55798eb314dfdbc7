import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/** Every file and folder below a folder: its mode, and the length and a hash of its bytes. */
export function folderDigest(folder: string): string[] {
  return readdirSync(folder, { recursive: true })
    .map(String)
    .toSorted()
    .map((name) => {
      const stat = statSync(join(folder, name));
      const mode = (stat.mode & 0o777).toString(8);
      if (!stat.isFile()) return `${name} ${mode}`;
      const bytes = readFileSync(join(folder, name));
      return `${name} ${mode} ${bytes.length} ${Bun.hash(bytes).toString(36)}`;
    });
}
