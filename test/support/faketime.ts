import { existsSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { unpackDebian } from "./debian.ts";

/** Under which the loader finds libfaketime, or why there is none. */
export type Faketime = { readonly library: string } | { readonly reason: string };

const PLACES = ["x86_64-linux-gnu", "aarch64-linux-gnu"].map(
  (platform) => `usr/lib/${platform}/faketime/libfaketimeMT.so.1`,
);

/** The library from Debian's package, installed or unpacked into a cache. */
export function findFaketime(): Faketime {
  const found = find("/");
  if (found !== undefined) return { library: found };
  const unpacked = unpackDebian("libfaketime", ["libfaketime"]);
  if ("reason" in unpacked) return unpacked;
  const library = find(unpacked.root);
  return library === undefined ? { reason: "Debian's package has no libfaketime for this machine" } : { library };
}

function find(root: string): string | undefined {
  return PLACES.map((place) => join(root, place)).find((path) => existsSync(path));
}

/** The environment of a process whose wall clock is set by a file; its monotonic clock is the system's. */
export function faketimeEnv(library: string, file: string): Readonly<{ [name: string]: string }> {
  return {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: "1",
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
    DONT_FAKE_MONOTONIC: "1",
  };
}

/** Sets the clock by so many seconds, from the real time. */
export function setClock(file: string, seconds: number): void {
  // At once: an empty file would be a time, too.
  writeFileSync(`${file}.new`, `${seconds < 0 ? "" : "+"}${seconds}\n`);
  renameSync(`${file}.new`, file);
}
