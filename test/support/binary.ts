import { statSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";

const ROOT = join(import.meta.dir, "../..");

/** The binary under test. `FETCHBOX_TEST_BINARY` names another one than the project's own. */
export const BINARY = process.env["FETCHBOX_TEST_BINARY"] ?? join(ROOT, "dist/fetchbox");

/** Builds the project's own binary where it is missing or older than what it is made of, and says so. */
export async function ensureBinary(): Promise<void> {
  if (process.env["FETCHBOX_TEST_BINARY"] !== undefined || isFresh()) return;
  console.log("dist/fetchbox is missing or older than src: building it");
  const build = Bun.spawn([process.execPath, "scripts/build.ts"], { cwd: ROOT, stdout: "ignore", stderr: "pipe" });
  const [code, complaint] = await Promise.all([build.exited, build.stderr.text()]);
  if (code !== 0) throw new Error(`the binary cannot be built:\n${complaint}`);
}

function isFresh(): boolean {
  const builtAt = statSync(BINARY, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const sources = [...new Glob("src/**/*").scanSync(ROOT), "package.json", "scripts/build.ts"];
  return sources.every((file) => statSync(join(ROOT, file)).mtimeMs <= builtAt);
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** A command that the binary is run by, as the last of its arguments. */
  readonly through?: readonly string[];
}

/** Starts the binary with nothing of our environment but `PATH`. */
export function spawnBinary(args: readonly string[], { cwd, env, through = [] }: RunOptions) {
  return Bun.spawn([...through, BINARY, ...args], {
    cwd,
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

/** Runs a command to its end. */
export async function runBinary(args: readonly string[], options: RunOptions): Promise<Ended> {
  await using child = spawnBinary(args, options);
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code: child.exitCode, stdout, stderr };
}

/** The line that `fetchbox version` prints: version, commit where the builder knew it, runtime and platform. */
export const VERSION_LINE =
  /^fetchbox \d+\.\d+\.\d+ \((commit [0-9a-f]{12}(-dirty)?, )?Bun \d+\.\d+\.\d+, \w+-\w+\)\n$/;
