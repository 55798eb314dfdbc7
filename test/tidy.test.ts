import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { Glob } from "bun";

const ROOT = join(import.meta.dir, "..");
const SOURCES = [...new Glob("src/**/*.ts").scanSync(ROOT)].filter((file) => !file.startsWith("src/gen/")).sort();

/** The TypeScript client's files, without the generated one. The layers are no matter of theirs. */
const CLIENT = [...new Glob("clients/typescript/src/*.ts").scanSync(ROOT)]
  .filter((file) => !file.endsWith("/openapi.ts"))
  .sort();
const FILES = [...SOURCES, ...CLIENT];

/**
 * The layers of src, the lowest first. A folder imports from its own layer only itself, and otherwise from the layers
 * below it: no import goes up.
 */
const LAYERS: readonly (readonly string[])[] = [
  ["std", "gen"],
  ["net"],
  ["jobs"],
  ["http", "storage"],
  ["storage/s3", "storage/local", "config", "telemetry", "sqlite", "dispatch"],
  ["intake", "worker", "maintenance", "operations", "verify"],
  ["api"],
  ["wiring"],
  ["app.ts", "version.ts"],
  ["cli"],
  ["main.ts"],
];
/**
 * Stages do not know one another's means: these are for those alone that put the program together or look at stores.
 */
const PRIVATE: Readonly<Record<string, readonly string[]>> = {
  sqlite: ["verify", "wiring", "cli"],
  "storage/s3": ["wiring", "cli"],
  "storage/local": ["wiring", "cli"],
  config: ["api", "wiring", "app.ts", "cli"],
  dispatch: ["worker", "wiring"],
};
const FILES_PER_FOLDER_MAX = 15;
const BANNED_NAMES = ["utils", "helpers", "common", "types", "index", "misc", "manager", "base", "constants", "shared"];

describe("the source is tidy", () => {
  test("folders import only what stands below them", () => {
    const breaches = SOURCES.flatMap((file) =>
      importsOf(file)
        .filter((target) => !isAllowed(layerOf(file), layerOf(target)))
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
    const names = FILES.map(
      (file) =>
        file
          .split("/")
          .at(-1)
          ?.replace(/(\.d)?\.ts$/, "") ?? "",
    );
    expect(names.filter((name) => BANNED_NAMES.includes(name) || !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name))).toEqual([]);
  });

  test("no files import one another in a circle", () => {
    expect(circles()).toEqual([]);
  });

  test("no two files have the same name", () => {
    const names = SOURCES.map((file) => file.split("/").at(-1) ?? "");
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
  });

  test("a folder has few enough files to be read as a list", () => {
    const folders = Map.groupBy(FILES, (file) => dirname(file));
    expect([...folders].filter(([, files]) => files.length > FILES_PER_FOLDER_MAX).map(([folder]) => folder)).toEqual(
      [],
    );
  });

  test("no comment is longer than 120 characters; of code the formatter sees to that", () => {
    const lines = FILES.flatMap((file) =>
      code(file)
        .split("\n")
        .map((line, at) => ({ line, place: `${file}:${at + 1}` })),
    );
    expect(
      lines.filter(({ line }) => line.length > 120 && /^\s*(\*|\/\/|\/\*)/.test(line)).map(({ place }) => place),
    ).toEqual([]);
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
    expect(FILES.filter((file) => code(file).split("\n").length > 400)).toEqual([]);
  });

  test("nothing is left undone in the source", () => {
    expect(FILES.filter((file) => /\b(TODO|FIXME|XXX)\b|@ts-(ignore|expect-error)/.test(code(file)))).toEqual([]);
  });

  test("the project does not refer to what lies beside it", () => {
    const files = [
      ...new Glob("{src,proto,config,docs,scripts,clients}/**/*.{ts,md,toml,proto,sh,sql,py}").scanSync(ROOT),
    ].filter((file) => !file.includes("node_modules/"));
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
    .filter((path) => /^(?:src|clients)\//.test(path) && path.endsWith(".ts"));
}

/** The folder that has a place among the layers. */
function layerOf(file: string): string {
  const [, first = "", second = ""] = file.split("/");
  return first === "storage" && !second.endsWith(".ts") ? `${first}/${second}` : first;
}

function isAllowed(from: string, to: string): boolean {
  if (from === to) return true;
  return heightOf(to) < heightOf(from) && (PRIVATE[to]?.includes(from) ?? true);
}

function heightOf(layer: string): number {
  const height = LAYERS.findIndex((names) => names.includes(layer));
  if (height < 0) throw new Error(`${layer} has no place among the layers`);
  return height;
}

/** Files that import one another round about, each group once. */
function circles(): string[][] {
  const found: string[][] = [];
  const numbers = new Map<string, number>();
  const path: string[] = [];
  const visit = (file: string): number => {
    const number = numbers.size;
    numbers.set(file, number);
    path.push(file);
    let lowest = number;
    for (const target of importsOf(file)) {
      if (!numbers.has(target)) lowest = Math.min(lowest, visit(target));
      else if (path.includes(target)) lowest = Math.min(lowest, numbers.get(target) ?? number);
    }
    if (lowest === number) {
      const group = path.splice(path.indexOf(file));
      if (group.length > 1) found.push(group);
    }
    return lowest;
  };
  for (const file of FILES) if (!numbers.has(file)) visit(file);
  return found;
}
