import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** Under which the loader finds libfaketime, or why there is none. */
export type Faketime = { readonly library: string } | { readonly reason: string };

const PLACES = ["x86_64-linux-gnu", "aarch64-linux-gnu"].map(
  (platform) => `usr/lib/${platform}/faketime/libfaketimeMT.so.1`,
);

/** The library from Debian's package, installed or unpacked into a cache. */
export function findFaketime(): Faketime {
  const cache = join(process.env["FETCHBOX_TEST_CACHE"] ?? join(homedir(), ".cache/fetchbox-test"), "faketime");
  const found = find("/") ?? find(join(cache, "root"));
  if (found !== undefined) return { library: found };
  if (Bun.which("apt-get") === null)
    return { reason: "libfaketime comes from Debian's packages, and there is no apt-get" };
  mkdirSync(cache, { recursive: true });
  Bun.spawnSync(["apt-get", "download", "libfaketime"], { cwd: cache });
  const [archive] = readdirSync(cache).filter((name) => name.endsWith(".deb"));
  if (archive !== undefined) Bun.spawnSync(["dpkg", "-x", archive, "root"], { cwd: cache });
  const library = find(join(cache, "root"));
  return library === undefined ? { reason: "libfaketime cannot be downloaded" } : { library };
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
