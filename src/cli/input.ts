import { readFileSync } from "node:fs";
import { UsageError } from "./exit-code.ts";

/** The bytes of a file, or of standard input for "-". @throws UsageError */
export function readInput(path: string): Uint8Array {
  try {
    return readFileSync(path === "-" ? 0 : path);
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** Whether the input is a manifest and not a list of URLs: JSON begins with a brace or a bracket, a URL never does. */
export function isManifest(bytes: Uint8Array): boolean {
  return /^\uFEFF?\s*[{[]/.test(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(0, 1024)));
}
