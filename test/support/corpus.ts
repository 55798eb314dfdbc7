import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../../../shared/corpora");

/** The names of a folder of a public corpus; says why on stderr, and returns nothing, where it is not there. */
export function corpusFiles(folder: string): readonly string[] {
  return isThere(folder) ? readdirSync(join(ROOT, folder)).toSorted() : [];
}

/** The lines of a file of a public corpus, under the same terms. */
export async function corpusLines(file: string): Promise<readonly string[]> {
  if (!isThere(file)) return [];
  const text = await Bun.file(join(ROOT, file)).text();
  return text.split("\n").filter((line) => line !== "");
}

export async function corpusBytes(file: string): Promise<Uint8Array> {
  return Bun.file(join(ROOT, file)).bytes();
}

function isThere(path: string): boolean {
  if (existsSync(join(ROOT, path))) return true;
  console.warn(`tests with ${path} are left out: ../shared/corpora/${path} is not there`);
  return false;
}
