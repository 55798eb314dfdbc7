import { cpSync, existsSync, realpathSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { type Buildah, output } from "./buildah.ts";

const CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const MIRROR = "http://deb.debian.org/debian";

/**
 * Makes stand-ins for the two images that the Dockerfile starts from, for a machine that cannot pull them: a minimal
 * Debian 12, and the same with this machine's Node and npm. Returns the build arguments that select them.
 */
export function makeLocalBases(buildah: Buildah, folder: string): string[] {
  const debian = minimalDebian();
  buildah.imageOf(debian, "localhost/fetchbox-base", { PATH });
  const withNode = join(folder, "with-node");
  output(["cp", "--archive", debian, withNode]);
  const npm = dirname(dirname(realpathSync(Bun.which("npm") ?? "npm")));
  cpSync(realpathSync(Bun.which("node") ?? "node"), join(withNode, "usr/bin/node"));
  cpSync(npm, join(withNode, "usr/lib/node_modules/npm"), { recursive: true, verbatimSymlinks: true });
  symlinkSync("../lib/node_modules/npm/bin/npx-cli.js", join(withNode, "usr/bin/npx"));
  // The registry may have a certificate of this machine's own authority.
  cpSync(CERTIFICATES, join(withNode, CERTIFICATES));
  buildah.imageOf(withNode, "localhost/fetchbox-build", { PATH, NODE_EXTRA_CA_CERTS: CERTIFICATES });
  rmSync(withNode, { recursive: true });
  return ["BASE_IMAGE=localhost/fetchbox-base", "BUILD_IMAGE=localhost/fetchbox-build"];
}

/** The folder of a minimal Debian 12, which stays in the cache of the tests. */
function minimalDebian(): string {
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
