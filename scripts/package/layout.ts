import { existsSync, globSync } from "node:fs";
import { basename } from "node:path";

/** A file of the package: where it comes from in the project, and its place below `/`. */
export interface PackagedFile {
  readonly from: string;
  readonly to: string;
  readonly mode: number;
}

const UNITS = "deploy/systemd";

/** All files of the package that lie in the project. */
export function packagedFiles(binary: string): PackagedFile[] {
  const doc = "usr/share/doc/fetchbox";
  return [
    program(binary, "usr/bin/fetchbox"),
    program(`${UNITS}/fetchbox-backup.sh`, "usr/sbin/fetchbox-backup"),
    ...["fetchbox.service", "fetchbox-backup.service", "fetchbox-backup.timer"].map((unit) =>
      plain(`${UNITS}/${unit}`, `usr/lib/systemd/system/${unit}`),
    ),
    plain(`${UNITS}/fetchbox.sysusers`, "usr/lib/sysusers.d/fetchbox.conf"),
    plain(`${UNITS}/fetchbox.tmpfiles`, "usr/lib/tmpfiles.d/fetchbox.conf"),
    plain("config/fetchbox.toml", "etc/fetchbox/fetchbox.toml"),
    // It holds secrets; the package's tmpfiles.d file then lets the service read it.
    { from: ".env.example", to: "etc/fetchbox/.env", mode: 0o600 },
    plain("LICENSE", `${doc}/copyright`),
    ...["README.md", "CHANGELOG.md", "config/fetchbox.example.toml"].map((file) =>
      plain(file, `${doc}/${basename(file)}`),
    ),
    // An alert names a page by its path in the project.
    ...globSync(["docs/**/*.md", "deploy/monitoring/**/*.{yml,json}"]).map((file) => plain(file, `${doc}/${file}`)),
  ];
}

function program(from: string, to: string): PackagedFile {
  return { from, to, mode: 0o755 };
}

function plain(from: string, to: string): PackagedFile {
  return { from, to, mode: 0o644 };
}

/** The folder of zsh's completions below `usr/`: that of Debian's packages, and the one that zsh reads in /usr/local. */
export const ZSH_FOLDER = { debian: "share/zsh/vendor-completions", local: "share/zsh/site-functions" };

/** The files that `fetchbox` itself prints: its arguments, and the place where shells and man find the output. */
export const PRINTED: readonly { readonly args: readonly string[]; readonly to: string }[] = [
  { args: ["completion", "bash"], to: "usr/share/bash-completion/completions/fetchbox" },
  { args: ["completion", "zsh"], to: `usr/${ZSH_FOLDER.debian}/_fetchbox` },
  { args: ["completion", "fish"], to: "usr/share/fish/vendor_completions.d/fetchbox.fish" },
  { args: ["man"], to: "usr/share/man/man1/fetchbox.1" },
];

export function missingFiles(files: readonly PackagedFile[]): string[] {
  return files.map(({ from }) => from).filter((file) => !existsSync(file));
}
