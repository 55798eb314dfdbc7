import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { Glob } from "bun";
import { exportsOf } from "./support/source-exports.ts";

const ROOT = join(import.meta.dir, "..");
const SOURCES = [...new Glob("src/**/*.{ts,tsx}").scanSync(ROOT)].filter((file) => !file.startsWith("src/gen/")).sort();
/** Every file that may import from src. */
const IMPORTERS = [...SOURCES, ...new Glob("{test,scripts,config}/**/*.ts").scanSync(ROOT)];

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
  ["console"],
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

/** Files with a timer or a clock of their own, each with its reason. This list may only become shorter. */
const REAL_TIME: Readonly<Record<string, string>> = {
  "src/std/clock.ts": "It is the clock.",
  "src/console/service/browser-time.ts": "It runs in a browser.",
  "src/telemetry/standard-output.ts": "Log lines must not depend on the parts that write them.",
  "src/sqlite/group-commit.ts": "A commit waits a few milliseconds of a real disk's time for more members.",
  "src/sqlite/outbox.ts": "Events gather for a few milliseconds of a real disk's time.",
  "src/api/http/request-body.ts": "It limits how long a real client sends a body that was refused.",
  "src/cli/run-to-exit.ts": "It sleeps without a turn of the event loop, because the process is about to end.",
  "src/app.ts": "Last limits of the start and the stop: the process must end, whatever the clock does.",
  "src/storage/s3/clean-up.ts": "A last limit for a request after the upload's own limit.",
  "src/storage/s3/check/probe.ts": "A last limit for requests after the command was stopped.",
  "src/maintenance/bucket-check.ts": "It limits one request of a periodic check, which has the clock.",
};
const TIME =
  /\b(setTimeout|setInterval|Date\.now|performance\.now|AbortSignal\.timeout|Bun\.sleep(Sync)?)\(|\bnew Date\(\)/;

/** Values that src exports for tests alone, each group with its reason. This list may only become shorter. */
const FOR_TESTS: Readonly<Record<string, readonly string[]>> = {
  "pages and answers are compared with them": [
    "src/api/openapi/openapi-document.ts#COMPONENTS",
    "src/config/field.ts#formatSize",
    "src/intake/manifest/manifest-schema.ts#ResourceSchema",
    "src/intake/manifest/manifest-schema.ts#StorageSchema",
  ],
  "they are pure, and have many more cases than a test of the whole can try": [
    "src/cli/commands/reload.ts#changedKeys",
    "src/config/field.ts#parseSize",
    "src/config/sources/tree.ts#expandReferences",
    "src/config/sources/variables.ts#parseEnvFile",
    "src/http/race.ts#interleaveFamilies",
    "src/net/media-type.ts#essenceOf",
    "src/worker/retry.ts#backoff",
  ],
  "a test reaches these limits": [
    "src/dispatch/lanes.ts#LOOKS_MAX",
    "src/jobs/object-key.ts#KEY_BYTES_MAX",
    "src/maintenance/orphan-cleaner.ts#LOOK_EVERY_MAX_MS",
    "src/maintenance/orphan-cleaner.ts#WATCH_MS",
    "src/maintenance/orphan-cleaner.ts#BLIND_WATCH_MS",
    "src/worker/timeout.ts#CLEAN_UP_MS",
  ],
  "a test asks SQLite for its plan": ["src/sqlite/ledger/list-jobs.ts#JOBS_OF_KEY"],
};

describe("the source is tidy", () => {
  test("folders import only what stands below them", () => {
    const breaches = SOURCES.flatMap((file) =>
      importsOf(file)
        .filter((target) => !isAllowed(layerOf(file), layerOf(target)))
        .map((target) => `${file} imports ${target}`),
    );
    expect(breaches).toEqual([]);
  });

  test("the console, which runs in browsers, imports only types of the service", () => {
    const values = /^(?:import|export) (?!type )[^;]*? from "((?:\.\.\/)+(?:api|config|jobs|std)\/[^"]*)"/m;
    const files = SOURCES.filter((file) => layerOf(file) === "console");
    expect(files.filter((file) => values.test(code(file)))).toEqual([]);
    const targets = files.flatMap(importsOf).map(layerOf);
    expect(new Set(targets)).toEqual(new Set(["console", "api"]));
  });

  test("the environment is read by main.ts alone", () => {
    const readers = SOURCES.filter((file) => /process\.env|Bun\.env|import\.meta\.env/.test(code(file)));
    expect(readers).toEqual(["src/main.ts"]);
  });

  test("the process is ended by main.ts alone", () => {
    expect(SOURCES.filter((file) => /process\.exit\(/.test(code(file)))).toEqual(["src/main.ts"]);
  });

  test("only a few files have a timer or a clock of their own", () => {
    expect(SOURCES.filter((file) => TIME.test(code(file)))).toEqual(Object.keys(REAL_TIME).sort());
  });

  test("commands choose the real clock, and a handler's thread, which gets no objects", () => {
    const others = SOURCES.filter((file) => !file.startsWith("src/cli/") && file !== "src/std/clock.ts");
    expect(others.filter((file) => /\bsystemClock\b/.test(code(file)))).toEqual([
      "src/intake/handlers/handler-thread.ts",
    ]);
  });

  test("files are named for what they hold, in kebab-case", () => {
    const names = FILES.map(
      (file) =>
        file
          .split("/")
          .at(-1)
          ?.replace(/(\.d)?\.tsx?$/, "") ?? "",
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
    // The bundler reads it for the browser.
    visit("src/console/main.tsx");
    expect(SOURCES.filter((file) => !reached.has(file) && !file.endsWith(".d.ts"))).toEqual([]);
  });

  test("an export has a use", () => {
    const exported = exportsOf(ROOT, SOURCES, IMPORTERS);
    const outside = exported.filter(({ importers }) => !importers.some((file) => file.startsWith("src/")));
    const isDead = ({ isUsedAtHome, importers }: (typeof exported)[number]) => !isUsedAtHome || importers.length === 0;
    expect(outside.filter(isDead).map(({ id }) => id)).toEqual([]);
    // Types of options and ports serve the helpers of tests; values need a place in the list.
    const values = outside.filter(({ isType, importers }) => !isType && !importers.some(isScript));
    expect(values.map(({ id }) => id).sort()).toEqual(Object.values(FOR_TESTS).flat().sort());
  });

  test("no file is longer than 400 lines", () => {
    expect(FILES.filter((file) => code(file).split("\n").length > 400)).toEqual([]);
  });

  test("nothing is left undone in the source", () => {
    expect(FILES.filter((file) => /\b(TODO|FIXME|XXX)\b|@ts-(ignore|expect-error)/.test(code(file)))).toEqual([]);
  });

  test("the project does not refer to what lies beside it", () => {
    const files = [
      ...new Glob("{src,proto,config,docs,scripts,clients}/**/*.{ts,tsx,md,toml,proto,sh,sql,py}").scanSync(ROOT),
    ].filter((file) => !file.includes("node_modules/"));
    expect(files.filter((file) => code(file).includes("../shared"))).toEqual([]);
  });
});

function isScript(file: string): boolean {
  return file.startsWith("scripts/");
}

function code(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}

/** Files of src that a file imports, gen left out where it is not TypeScript of ours. */
function importsOf(file: string): string[] {
  const specifiers = [...code(file).matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map(([, path = ""]) => path);
  return specifiers
    .map((path) => normalize(join(dirname(file), path)))
    .filter((path) => /^(?:src|clients)\//.test(path) && /\.tsx?$/.test(path));
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
