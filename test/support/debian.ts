import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

export interface Unpacked {
  /** What would be `/`. */
  readonly root: string;
  /** For programs of it: where the loader finds their libraries. */
  readonly env: Readonly<Record<string, string>>;
}

/** The loader is the machine's, and takes only the libc that it was made with. */
const MACHINES_OWN = /^libc6_/;

/**
 * Debian's packages with all that they depend on, unpacked into a cache: nothing of the system is touched, and no
 * rights are needed. What the machine has installed counts for nothing: programs look for their parts beside
 * themselves. `name` is the folder in the cache.
 */
export function unpackDebian(name: string, packages: readonly string[]): Unpacked | { readonly reason: string } {
  const cache = process.env["FETCHBOX_TEST_CACHE"] ?? join(homedir(), ".cache/fetchbox-test");
  const folder = join(cache, `${name}-whole`);
  if (!existsSync(folder)) {
    if (Bun.which("apt-get") === null) {
      return { reason: `${packages.join(", ")} come from Debian's packages, and there is no apt-get` };
    }
    const work = join(cache, `${name}.${process.pid}`);
    const problem = fetchInto(work, packages);
    if (problem !== undefined) {
      rmSync(work, { recursive: true, force: true });
      return { reason: `${packages.join(", ")} cannot be had from Debian's packages: ${problem}` };
    }
    renameSync(work, folder);
  }
  const root = join(folder, "root");
  const libraries = ["usr/lib", "lib"]
    .flatMap((lib) =>
      existsSync(join(root, lib)) ? readdirSync(join(root, lib)).map((each) => join(root, lib, each)) : [],
    )
    .filter((path) => path.includes("-linux-gnu"));
  return { root, env: { LD_LIBRARY_PATH: libraries.join(":") } };
}

/** What went wrong, if anything did. */
function fetchInto(folder: string, packages: readonly string[]): string | undefined {
  const archives = join(folder, "archives");
  mkdirSync(join(archives, "partial"), { recursive: true });
  // A machine without any packages, so that all of them are fetched.
  const status = join(folder, "status");
  writeFileSync(status, "");
  const options = [
    "Debug::NoLocking=true",
    "APT::Sandbox::User=",
    `Dir::State::status=${status}`,
    `Dir::State::extended_states=${join(folder, "extended_states")}`,
    `Dir::Cache::archives=${archives}`,
    // Those of the system are for its own status.
    "Dir::Cache::pkgcache=",
    "Dir::Cache::srcpkgcache=",
  ];
  const apt = ["install", "-y", "-qq", "--no-install-recommends", "--download-only"];
  const fetched = Bun.spawnSync(["apt-get", ...options.flatMap((option) => ["-o", option]), ...apt, ...packages]);
  if (fetched.exitCode !== 0) return fetched.stderr.toString().trim().slice(-300);
  for (const archive of readdirSync(archives).filter((each) => each.endsWith(".deb") && !MACHINES_OWN.test(each))) {
    const unpacked = Bun.spawnSync(["dpkg", "-x", join(archives, archive), join(folder, "root")]);
    if (unpacked.exitCode !== 0) return unpacked.stderr.toString().trim();
  }
  rmSync(archives, { recursive: true });
  return undefined;
}
