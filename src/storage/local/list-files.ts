import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "./local-failure.ts";

/** The regular files below a folder whose path from there starts with `prefix`, in the order of their UTF-8 bytes. */
export async function* listFiles(
  folder: string,
  prefix: string,
  signal: AbortSignal,
  path = "",
): AsyncGenerator<{ key: string; bytes: number; etag: string }> {
  for (const name of await namesIn(join(folder, path))) {
    signal.throwIfAborted();
    const key = path + name;
    if (name.endsWith("/")) {
      if (key.startsWith(prefix) || prefix.startsWith(key)) yield* listFiles(folder, prefix, signal, key);
    } else if (key.startsWith(prefix)) {
      const bytes = await sizeOf(join(folder, key));
      if (bytes !== undefined) yield { key, bytes, etag: "" };
    }
  }
}

/** Names in a folder, a folder's with `/`, in the order that their keys have. Links are left out. */
async function namesIn(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory() || entry.isFile())
      .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
      .toSorted(byUtf8);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

async function sizeOf(file: string): Promise<number | undefined> {
  try {
    return (await lstat(file)).size;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** UTF-16, which `<` compares by, has another order than UTF-8 beyond U+FFFF. */
function byUtf8(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
