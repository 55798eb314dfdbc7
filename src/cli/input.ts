import { readFileSync } from "node:fs";
import { UsageError } from "./exit-code.ts";

/** The bytes of a file, or of standard input for "-". @throws UsageError */
export function readInput(path: string): Uint8Array {
  try {
    return readFileSync(path === "-" ? 0 : path);
  } catch (error) {
    throw new UsageError(`${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

/** Whether this is JSON, and so a manifest rather than a list of URLs: no URL begins with a brace or a bracket. */
export function isManifest(bytes: Uint8Array): boolean {
  return /^\uFEFF?\s*[{[]/.test(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(0, 1024)));
}
