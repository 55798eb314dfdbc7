import { readFileSync } from "node:fs";
import type { IntakeError } from "../intake/intake-error.ts";
import { fileErrorText } from "../std/error-text.ts";
import { UsageError } from "./exit-code.ts";

/** The bytes of a file, or of standard input for "-". @throws UsageError */
export function readInput(path: string): Uint8Array {
  try {
    return readFileSync(path === "-" ? 0 : path);
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${fileErrorText(error)}`, { cause: error });
  }
}

/** Whether the input is a manifest and not a list of URLs: JSON begins with a brace or a bracket, a URL never does. */
export function isManifest(bytes: Uint8Array): boolean {
  return /^\uFEFF?\s*[{[]/.test(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(0, 1024)));
}

/** The details of an intake error, one per line, without those that the error's message contains. */
export function detailLines({ message, details = [] }: IntakeError, placeText = (path: string) => path): string {
  return details
    .filter((detail) => !message.includes(detail.message))
    .map((detail) => `\n  ${detail.path === "" ? "the manifest" : placeText(detail.path)}: ${detail.message}`)
    .join("");
}
