/**
 * Packs an executable with its units, example configuration, completions and man page:
 * `bun scripts/package.ts [--deb] [--tar] [--binary=dist/fetchbox] [--out=dist/packages]`. Without --deb and --tar it
 * makes both, and then SHA256SUMS of all files in the folder. The same commit and executable give the same bytes.
 */
import {
  chmodSync,
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import manifest from "../package.json" with { type: "json" };
import { missingFiles, PRINTED, packagedFiles, ZSH_FOLDER } from "./package/layout.ts";

const ROOT = resolve(import.meta.dir, "..");
const DEBIAN = "deploy/debian";
/** The machine field of an ELF header, with Debian's name of the architecture. */
const ARCHITECTURES: Readonly<Record<number, string>> = { 0x3e: "amd64", 0xb7: "arm64" };
const SUMS = "SHA256SUMS";

const { values: flags } = parseArgs({
  options: {
    deb: { type: "boolean", default: false },
    tar: { type: "boolean", default: false },
    binary: { type: "string", default: "dist/fetchbox" },
    out: { type: "string", default: "dist/packages" },
  },
});
const binary = resolve(flags.binary);
const out = resolve(flags.out);
process.chdir(ROOT);
try {
  await main();
} catch (error) {
  console.error(`package: ${(error as Error).message}`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const architecture = architectureOf(binary);
  const both = !flags.deb && !flags.tar;
  const stage = mkdtempSync(join(tmpdir(), "fetchbox-package-"));
  try {
    const root = join(stage, `fetchbox-${manifest.version}-linux-${architecture}`);
    await fill(root);
    mkdirSync(out, { recursive: true });
    if (flags.tar || both) makeTar(root);
    if (flags.deb || both) await makeDeb(root, architecture);
    await writeSums();
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

/** @throws Error if the file is not an executable for Linux on a known architecture */
function architectureOf(file: string): string {
  const bytes = statSync(file, { throwIfNoEntry: false })?.isFile() === true ? readFileSync(file) : undefined;
  if (bytes === undefined) throw new Error(`${file} does not exist; build it with: bun run build`);
  const isElf = bytes.subarray(0, 4).equals(Buffer.from("\x7fELF", "latin1"));
  const name = isElf ? ARCHITECTURES[bytes.readUInt16LE(18)] : undefined;
  if (name === undefined) throw new Error(`${file} is not an executable for Linux on x64 or arm64`);
  return name;
}

/** Puts all files into a folder that looks like `/`. */
async function fill(root: string): Promise<void> {
  const files = packagedFiles(binary);
  const missing = missingFiles(files);
  if (missing.length > 0) throw new Error(`these files are missing: ${missing.join(", ")}`);
  for (const { from, to, mode } of files) {
    mkdirSync(join(root, dirname(to)), { recursive: true });
    cpSync(from, join(root, to));
    chmodSync(join(root, to), mode);
  }
  // The source prints them as the executable does, which may be one for another machine.
  for (const { args, to } of PRINTED) await Bun.write(join(root, to), run([process.execPath, "src/main.ts", ...args]));
  chmodFolders(root);
}

/** Folders are open whatever the umask is, and all times are those of the commit. */
function chmodFolders(root: string): void {
  const seconds = commitSeconds();
  for (const path of [root, ...globSync("**", { cwd: root }).map((name) => join(root, name))]) {
    if (statSync(path).isDirectory()) chmodSync(path, 0o755);
    utimesSync(path, seconds, seconds);
  }
}

/** The time of the commit, or `SOURCE_DATE_EPOCH`. */
function commitSeconds(): number {
  const given = process.env["SOURCE_DATE_EPOCH"];
  return Number(given === undefined || given === "" ? run(["git", "log", "-1", "--format=%ct"]) : given);
}

function makeTar(root: string): void {
  const target = `${join(out, root.slice(root.lastIndexOf("/") + 1))}.tar.gz`;
  const owner = ["--owner=root:0", "--group=root:0", "--numeric-owner", "--sort=name", `--mtime=@${commitSeconds()}`];
  const folder = root.slice(root.lastIndexOf("/") + 1);
  // Its usr/ goes into /usr/local, where zsh reads another folder.
  const moved = `--transform=s,/usr/${ZSH_FOLDER.debian},/usr/${ZSH_FOLDER.local},`;
  const form = ["--use-compress-program=gzip -n", ...owner, moved];
  run(["tar", "--create", ...form, `--file=${target}`, "-C", dirname(root), folder]);
  console.log(target);
}

async function makeDeb(root: string, architecture: string): Promise<void> {
  if (Bun.which("dpkg-deb") === null) throw new Error("--deb needs dpkg-deb; on Debian it is in the package dpkg");
  const kibibytes = run(["du", "--summarize", "--apparent-size", "--block-size=1024", root]).split("\t")[0] ?? "";
  const fields: Readonly<Record<string, string>> = {
    VERSION: manifest.version,
    ARCHITECTURE: architecture,
    INSTALLED_SIZE: kibibytes,
  };
  const control = readFileSync(join(DEBIAN, "control"), "utf8");
  const text = control.replace(/\$\{(\w+)\}/g, (_, name: string) => fields[name] ?? "");
  await Bun.write(join(root, "DEBIAN/control"), text);
  for (const name of ["conffiles", "postinst", "prerm", "postrm"]) {
    cpSync(join(DEBIAN, name), join(root, "DEBIAN", name));
    chmodSync(join(root, "DEBIAN", name), name === "conffiles" ? 0o644 : 0o755);
  }
  chmodFolders(root);
  const target = join(out, `fetchbox_${manifest.version}_${architecture}.deb`);
  // dpkg of Debian 12 and Ubuntu 22.04 reads zstd, which is much faster than xz.
  run(["dpkg-deb", "--root-owner-group", "-Zzstd", "--build", root, target], {
    SOURCE_DATE_EPOCH: String(commitSeconds()),
  });
  console.log(target);
}

/** Lists every file of the folder as `sha256sum --check` reads it. */
async function writeSums(): Promise<void> {
  const names = globSync("*", { cwd: out }).filter((name) => name !== SUMS);
  const lines = names.toSorted().map((name) => {
    const digest = new Bun.CryptoHasher("sha256").update(readFileSync(join(out, name))).digest("hex");
    return `${digest}  ${name}\n`;
  });
  await Bun.write(join(out, SUMS), lines.join(""));
  console.log(join(out, SUMS));
}

function run(command: readonly string[], env: Readonly<Record<string, string>> = {}): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { env: { ...process.env, ...env } });
  if (exitCode !== 0) throw new Error(`${command.join(" ")} ended with ${exitCode}:\n${stderr.toString()}`);
  return stdout.toString();
}
