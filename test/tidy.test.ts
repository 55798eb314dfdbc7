import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { Glob } from "bun";

const ROOT = join(import.meta.dir, "..");
const SOURCES = [...new Glob("src/**/*.ts").scanSync(ROOT)].filter((file) => !file.startsWith("src/gen/")).sort();

/**
 * Which folders of src a folder may import from, beside itself and jobs/. What is not listed is not allowed: stages
 * never import one another, and only app.ts with wiring/ joins them.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  jobs: [],
  http: [],
  sqlite: ["gen"],
  s3: ["http"],
  local: [],
  config: [],
  telemetry: [],
  intake: ["sqlite"],
  dispatch: [],
  worker: ["dispatch", "http"],
  maintenance: ["sqlite"],
  api: ["intake", "maintenance", "sqlite", "telemetry", "config"],
  verify: ["sqlite"],
  wiring: [
    "api",
    "config",
    "dispatch",
    "http",
    "intake",
    "local",
    "maintenance",
    "s3",
    "sqlite",
    "telemetry",
    "verify",
    "worker",
  ],
  cli: ["api", "config", "intake", "sqlite", "telemetry", "verify", "wiring", "worker", "app.ts", "version.ts"],
};
const BANNED_NAMES = ["utils", "helpers", "common", "types", "index", "misc", "manager", "base", "constants", "shared"];

describe("the source is tidy", () => {
  test("folders import only what stands below them", () => {
    const breaches = SOURCES.flatMap((file) =>
      importsOf(file)
        .filter((target) => !isAllowed(folderOf(file), folderOf(target)))
        .map((target) => `${file} imports ${target}`),
    );
    expect(breaches).toEqual([]);
  });

  test("the environment is read by main.ts alone", () => {
    const readers = SOURCES.filter((file) => /process\.env|Bun\.env|import\.meta\.env/.test(code(file)));
    expect(readers).toEqual(["src/main.ts"]);
  });

  test("the process is ended by main.ts alone", () => {
    expect(SOURCES.filter((file) => /process\.exit\(/.test(code(file)))).toEqual(["src/main.ts"]);
  });

  test("files are named for what they hold, in kebab-case", () => {
    const names = SOURCES.map(
      (file) =>
        file
          .split("/")
          .at(-1)
          ?.replace(/(\.d)?\.ts$/, "") ?? "",
    );
    expect(names.filter((name) => BANNED_NAMES.includes(name) || !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name))).toEqual([]);
  });

  test("no file is dead", () => {
    const reached = new Set<string>();
    const visit = (file: string) => {
      if (reached.has(file)) return;
      reached.add(file);
      for (const target of importsOf(file)) visit(target);
    };
    for (const [entry = ""] of code("scripts/build.ts").matchAll(/src\/[\w/-]+\.ts/g)) visit(entry);
    expect(SOURCES.filter((file) => !reached.has(file) && !file.endsWith(".d.ts"))).toEqual([]);
  });

  test("no file is longer than 400 lines", () => {
    expect(SOURCES.filter((file) => code(file).split("\n").length > 400)).toEqual([]);
  });

  test("nothing is left undone in the source", () => {
    expect(SOURCES.filter((file) => /\b(TODO|FIXME|XXX)\b|@ts-(ignore|expect-error)/.test(code(file)))).toEqual([]);
  });

  test("the project does not refer to what lies beside it", () => {
    const files = [...new Glob("{src,proto,config,docs,scripts}/**/*.{ts,md,toml,proto,sh,sql}").scanSync(ROOT)];
    expect(files.filter((file) => code(file).includes("../shared"))).toEqual([]);
  });
});

function code(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}

/** Files of src that a file imports, gen left out where it is not TypeScript of ours. */
function importsOf(file: string): string[] {
  const specifiers = [...code(file).matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map(([, path = ""]) => path);
  return specifiers
    .map((path) => normalize(join(dirname(file), path)))
    .filter((path) => path.startsWith("src/") && path.endsWith(".ts"));
}

function folderOf(file: string): string {
  return file.split("/")[1] ?? "";
}

function isAllowed(from: string, to: string): boolean {
  if (from === "app.ts" || from === "main.ts" || from === to || to === "jobs") return true;
  return MAY_IMPORT[from]?.includes(to) ?? false;
}
