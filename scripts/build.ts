/**
 * Compiles the one executable: `bun scripts/build.ts [--target=bun-linux-arm64] [--outfile=dist/fetchbox]`; with
 * `--entry=FILE` another program in the same way. The commit in `fetchbox version` is that of the repository, or
 * FETCHBOX_COMMIT from the environment where there is none.
 */
import { $ } from "bun";
import { bundleConsole } from "../src/api/console/console-bundle.ts";

const flags = [
  "--compile",
  // With the names of the source the service took 9 % more CPU for an item of 10 KiB (2026-11-29).
  "--minify",
  "--define",
  'process.env.NODE_ENV="production"',
  "--define",
  "FETCHBOX_HAS_CONSOLE=true",
  // Half the start-up time; it needs the ESM format where the entry exports.
  "--bytecode",
  "--format=esm",
  // What starts the program anew, and a command that asks a running service, load what they need and not the rest.
  "--splitting",
  "--sourcemap",
  // The working directory belongs to somebody else: a .env or a bunfig.toml there must not reach into the program.
  "--no-compile-autoload-dotenv",
  "--no-compile-autoload-bunfig",
  // Handlers that users write may stand beside npm packages; to resolve those, their package.json is read.
  "--compile-autoload-package-json",
];

const own = process.argv.slice(2);
const entry = own.find((arg) => arg.startsWith("--entry="))?.slice("--entry=".length);
/** The threads' entries follow the program's, which gives the executable its name. */
const entries = entry === undefined ? ["src/main.ts", "src/intake/handlers/handler-thread.ts"] : [entry];
const outfile = own.some((arg) => arg.startsWith("--outfile")) ? [] : ["--outfile=dist/fetchbox"];
await Bun.write("dist/console.bundle", JSON.stringify(await bundleConsole()));
const define = `--define=FETCHBOX_COMMIT=${JSON.stringify(await commit())}`;
await $`${process.execPath} build ${flags} ${define} ${entries} ${outfile} ${own.filter((arg) => !arg.startsWith("--entry="))}`;

async function commit(): Promise<string> {
  const given = process.env["FETCHBOX_COMMIT"];
  if (given !== undefined) return given;
  const head = await $`git rev-parse --short=12 HEAD`.quiet().nothrow();
  if (head.exitCode !== 0) return "";
  const changed = await $`git status --porcelain --untracked-files=no`.quiet().nothrow();
  return `${head.text().trim()}${changed.text() === "" ? "" : "-dirty"}`;
}
