import { existsSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { output } from "./run-command.ts";

const MIRROR = "http://deb.debian.org/debian";

/** The folder of a minimal Debian 12, which stays in the cache of the tests. Copy it, and leave it as it is. */
export function minimalDebian(): string {
  const cache = process.env["FETCHBOX_TEST_CACHE"] ?? join(homedir(), ".cache/fetchbox-test");
  const folder = join(cache, "debian-12-minimal");
  if (existsSync(folder)) return folder;
  const partial = `${folder}.${process.pid}`;
  output(["debootstrap", "--variant=minbase", "bookworm", partial, MIRROR]);
  // debootstrap may leave /proc mounted.
  Bun.spawnSync(["umount", join(partial, "proc")]);
  rmSync(join(partial, "var/cache/apt/archives"), { recursive: true, force: true });
  renameSync(partial, folder);
  return folder;
}
