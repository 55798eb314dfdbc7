import type { ImageConfig } from "./buildah.ts";

export interface ImageMounts {
  /** The files of the image. */
  readonly root: string;
  /** The volume. */
  readonly data: string;
}

/**
 * Starts a command of an image as a container engine would: as process 1 of its own process namespace, as the image's
 * user without capabilities, with a read-only root, a volume, and a temporary file system at /tmp. The network is the
 * machine's.
 */
export function startInImage(
  { root, data }: ImageMounts,
  { User: user, WorkingDir: workingDir, Env: env }: ImageConfig,
  command: readonly string[],
  more: Readonly<Record<string, string>> = {},
) {
  const [uid = "", gid = ""] = user.split(":");
  const mounts = `
    mount --bind "$ROOT" "$ROOT" && mount -o remount,bind,ro "$ROOT" &&
    mount -t tmpfs tmpfs "$ROOT/tmp" && mount --bind "$DATA" "$ROOT/data" && mount --rbind /dev "$ROOT/dev" &&
    exec setpriv --clear-groups --no-new-privs \\
      unshare --pid --fork --mount-proc=/proc --root="$ROOT" --wd="$WORKDIR" --setuid ${uid} --setgid ${gid} \\
      /usr/bin/env --ignore-environment "$@"`;
  const variables = [...env, ...Object.entries(more).map(([name, value]) => `${name}=${value}`)];
  return Bun.spawn(["unshare", "--mount", "sh", "-euc", mounts, "sh", ...variables, ...command], {
    env: { PATH: process.env["PATH"] ?? "", ROOT: root, DATA: data, WORKDIR: workingDir },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}
