import { cpSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Buildah } from "./buildah.ts";
import { minimalDebian } from "./minimal-debian.ts";
import { output } from "./run-command.ts";

const CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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
