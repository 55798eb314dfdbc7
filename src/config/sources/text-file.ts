import { readFileSync } from "node:fs";
import { ConfigError } from "../config-error.ts";

const FILE_BYTES_MAX = 2 ** 20;

/** The bytes of a small file, or `undefined` without such a file. @throws ConfigError if it cannot be read */
export function readBounded(file: string, name: string): Uint8Array | undefined {
  try {
    const bytes = readFileSync(file);
    if (bytes.length <= FILE_BYTES_MAX) return bytes;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new ConfigError([{ source: name, key: "", message: `cannot be read (${code})` }], { cause: error });
  }
  throw new ConfigError([{ source: name, key: "", message: `is larger than ${FILE_BYTES_MAX} bytes` }]);
}

/** The text of a file. @throws ConfigError with the line of the first byte that is not UTF-8 */
export function decodeUtf8(bytes: Uint8Array, name: string): string {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    return decoder.decode(bytes);
  } catch (error) {
    throw new ConfigError([{ source: `${name}:${badLine(bytes)}`, key: "", message: "is not valid UTF-8" }], {
      cause: error,
    });
  }
}

/** The first line that is not UTF-8. A longer UTF-8 sequence never contains 0x0a, so each line is decoded alone. */
function badLine(bytes: Uint8Array): number {
  let line = 1;
  for (let start = 0; start < bytes.length; line++) {
    const end = bytes.indexOf(0x0a, start) < 0 ? bytes.length : bytes.indexOf(0x0a, start) + 1;
    try {
      new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(start, end));
    } catch {
      return line;
    }
    start = end;
  }
  return line;
}
