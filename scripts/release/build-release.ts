/**
 * Builds all files of a release: `bun scripts/release/build-release.ts [--out=dist/release] [--only=TARGET]`. These are
 * an archive for each platform, Debian packages, the source, the bill of materials, and SHA256SUMS of all of them. Bun
 * compiles for other platforms, so one Linux machine builds everything. It fetches Bun's runtimes from the npm registry.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { $ } from "bun";
import about from "../../package.json";

/** Bun's targets, with the name of the platform in the archive; packages are for those with a Debian architecture. */
const TARGETS: readonly { readonly target: string; readonly platform: string; readonly isPackaged?: true }[] = [
  { target: "bun-linux-x64-baseline", platform: "linux-x64-baseline" },
  { target: "bun-darwin-arm64", platform: "darwin-arm64" },
  { target: "bun-darwin-x64", platform: "darwin-x64" },
  { target: "bun-windows-x64", platform: "windows-x64" },
  { target: "bun-linux-arm64", platform: "linux-arm64", isPackaged: true },
  { target: "bun-linux-x64", platform: "linux-x64", isPackaged: true },
];
/** The files beside the executable in an archive. */
const BESIDE = ["LICENSE", "README.md", "CHANGELOG.md", "config/fetchbox.example.toml"];

const { values } = parseArgs({
  options: { out: { type: "string", default: "dist/release" }, only: { type: "string" } },
});
const out = resolve(values.out);
const name = `fetchbox-${about.version}`;
const targets = TARGETS.filter(({ target }) => values.only === undefined || target === values.only);
if (targets.length === 0)
  throw new Error(`unknown target; these are known: ${TARGETS.map(({ target }) => target).join(", ")}`);
const stage = mkdtempSync(join(tmpdir(), "fetchbox-release-"));
try {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  await $`git archive --format=tar.gz --prefix=${name}/ --output=${join(out, `${name}-source.tar.gz`)} HEAD`;
  await Bun.write(join(out, `${name}.cdx.json`), await $`${process.execPath} scripts/release/sbom.ts`.text());
  for (const target of targets) await build(target);
} finally {
  rmSync(stage, { recursive: true, force: true });
}

async function build({ target, platform, isPackaged }: (typeof TARGETS)[number]): Promise<void> {
  const folder = join(stage, `${name}-${platform}`);
  mkdirSync(folder);
  const executable = join(folder, platform.startsWith("windows") ? "fetchbox.exe" : "fetchbox");
  await $`${process.execPath} scripts/build.ts --target=${target} --outfile=${executable}`.quiet();
  if (isPackaged === true) {
    // It also writes the sums of all files that are there by then.
    await $`${process.execPath} scripts/package.ts --binary=${executable} --out=${out}`;
    return;
  }
  // The source maps of the build stay out.
  const archive = join(stage, "archive", basename(folder));
  mkdirSync(archive, { recursive: true });
  for (const file of [executable, ...BESIDE]) cpSync(file, join(archive, basename(file)));
  await $`tar -czf ${join(out, `${basename(folder)}.tar.gz`)} -C ${join(stage, "archive")} ${basename(folder)}`;
}
