import { existsSync, globSync } from "node:fs";
import { basename } from "node:path";

/** A file of the package: where it comes from in the project, and its place below `/`. */
export interface PackagedFile {
  readonly from: string;
  readonly to: string;
  readonly mode: number;
}

const UNITS = "deploy/systemd";
const MAN_PAGES = "dist/man/*.[1-8]";

/** All files of the package that the project has. */
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
    ...manPages(),
  ];
}

function manPages(): PackagedFile[] {
  return globSync(MAN_PAGES).map((page) => plain(page, `usr/share/man/man${page.at(-1)}/${basename(page)}`));
}

function program(from: string, to: string): PackagedFile {
  return { from, to, mode: 0o755 };
}

function plain(from: string, to: string): PackagedFile {
  return { from, to, mode: 0o644 };
}

/** The completions of the shells, by the place where each shell finds them. */
export const COMPLETIONS: Readonly<Record<string, string>> = {
  bash: "usr/share/bash-completion/completions/fetchbox",
  zsh: "usr/share/zsh/vendor-completions/_fetchbox",
  fish: "usr/share/fish/vendor_completions.d/fetchbox.fish",
};

export function missingFiles(files: readonly PackagedFile[]): string[] {
  return files.map(({ from }) => from).filter((file) => !existsSync(file));
}
