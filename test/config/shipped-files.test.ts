import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Glob } from "bun";
import { parse } from "smol-toml";
import type { Problem } from "../../src/config/config-error.ts";
import { type Config, ConfigSchema } from "../../src/config/schema.ts";
import { getFromTree } from "../../src/config/sources/tree.ts";
import { parseEnvFile } from "../../src/config/sources/variables.ts";
import { ROLES } from "../../src/config/values/access-token.ts";
import { settingOf } from "../support/unit-file.ts";
import { createProject } from "./project.ts";
import { documentedRow, schemaKeys } from "./schema-keys.ts";

const ROOT = resolve(import.meta.dir, "../..");
const EXAMPLE = readFileSync(join(ROOT, "config/fetchbox.example.toml"), "utf8");
const DOCS = readFileSync(join(ROOT, "docs/operate/configuration.md"), "utf8");
const EXAMPLE_NAMES: Record<string, string> = {
  handlers: "gallery",
  proxies: "residential-us",
  download: "*.example.com",
};
const EXAMPLE_ENV = { S3_ACCESS_KEY_ID: "a", S3_SECRET_ACCESS_KEY: "b", S3_SESSION_TOKEN: "c" };

/** The example with every default switched on: prose starts with "# ", a default with "#" and its key. */
const UNCOMMENTED = EXAMPLE.replace(/^#(?=[a-z_.]+ = )/gm, "");

function withoutNamedTables(config: Config) {
  const { handlers: _handlers, proxies: _proxies, download, ...rest } = config;
  return { ...rest, download: { ...download, hosts: {} } };
}

/** A schema key's place in the example: `*` becomes the name that stands there. */
function placeOf(path: readonly string[]): string[] {
  return path.map((key) => (key === "*" ? (EXAMPLE_NAMES[path[0] ?? ""] ?? key) : key));
}

test("config/fetchbox.toml adds up to the defaults", () => {
  using bare = createProject();
  using shipped = createProject(readFileSync(join(ROOT, "config/fetchbox.toml"), "utf8").replaceAll("\r", ""));
  const expected = JSON.stringify(bare.load()).replaceAll(bare.cwd, shipped.cwd);
  expect(JSON.parse(JSON.stringify(shipped.load()))).toEqual(JSON.parse(expected));
});

test("the example loads as it is, and changes nothing but its handler, its pools and its hosts", () => {
  using bare = createProject();
  using example = createProject(EXAMPLE);
  const config = example.load();
  const expected = JSON.stringify(withoutNamedTables(bare.load())).replaceAll(bare.cwd, example.cwd);
  expect(JSON.parse(JSON.stringify(withoutNamedTables(config)))).toEqual(JSON.parse(expected));
  expect(config.handlers["gallery"]?.proxy.primary).toBe("residential-us");
  expect(config.download.hosts["*.example.com"]?.rate_per_second).toBe(0.5);
  expect(config.proxies["residential-us"]?.endpoints).toHaveLength(2);
});

test("the example loads with every default switched on", () => {
  using example = createProject(UNCOMMENTED);
  expect(example.load({ env: EXAMPLE_ENV }).storage.credentials?.session_token?.reveal()).toBe("c");
});

test.each(schemaKeys(ConfigSchema).map((key) => [key.path.join("."), key] as const))(
  "the example has %s, and where it is commented out with its default",
  (_, { path, schema }) => {
    const place = placeOf(path);
    const value = getFromTree(parse(UNCOMMENTED), place);
    expect(value).toBeDefined();
    const isActive = getFromTree(parse(EXAMPLE), place) !== undefined;
    if (!isActive && schema.default !== undefined) expect(value).toEqual(schema.default);
  },
);

test("every key has a comment above it, or above the keys it stands together with", () => {
  const lines = EXAMPLE.split("\n");
  for (const [index, line] of lines.entries()) {
    if (!/^#[a-z_.]+ = /.test(line)) continue;
    const above = lines.slice(0, index).findLast((other) => !/^#?[a-z_.]+ = /.test(other)) ?? "";
    expect(above, line).toMatch(/^# |^\[/);
  }
});

test.each(schemaKeys(ConfigSchema).map((key) => [key.path.join("."), documentedRow(key)] as const))(
  "docs/operate/configuration.md has the row of %s",
  (_, row) => {
    expect(DOCS.split("\n")).toContain(row);
  },
);

test("docs/operate/configuration.md has no row of a key that does not exist", () => {
  const rows = DOCS.split("\n").filter((line) => /^\| `[a-z]+\./.test(line));
  expect(rows).toHaveLength(schemaKeys(ConfigSchema).length);
});

test(".env.example is a .env file, and once it is uncommented every FETCHBOX__ name in it means a key", () => {
  const asItIs = readFileSync(join(ROOT, ".env.example"), "utf8");
  const uncommented = asItIs.replace(/^#(?=[A-Z0-9_]+=)/gm, "");
  const problems: Problem[] = [];
  expect(parseEnvFile(uncommented, ".env", problems).size).toBeGreaterThanOrEqual(6);
  expect(problems).toEqual([]);
  using project = createProject(EXAMPLE);
  project.write("config/.env", asItIs);
  expect(project.load().server.auth.tokens).toEqual([]);
  project.write("config/.env", uncommented);
  const { tokens } = project.load().server.auth;
  // Long enough to be taken, and one for each role that there is.
  expect(tokens.map((token) => token.role).toSorted()).toEqual(ROLES.toSorted());
  for (const { token } of tokens) expect(token.reveal().length).toBeGreaterThanOrEqual(16);
});

test("both examples tell of every role", () => {
  for (const file of [".env.example", "config/fetchbox.example.toml"]) {
    const text = readFileSync(join(ROOT, file), "utf8");
    for (const role of ROLES) expect([file, text]).toEqual([file, expect.stringContaining(`${role}:`)]);
  }
});

describe("what comes from elsewhere is pinned:", () => {
  const read = (file: string) => readFileSync(join(ROOT, file), "utf8");
  const found = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, name = ""]) => name);

  const workflows = [...new Glob(".github/workflows/*.yml").scanSync({ cwd: ROOT, dot: true })].map(read);

  test("actions by commit, with their version beside it", () => {
    const actions = workflows.flatMap((text) => found(text, /uses: (.*)$/gm));
    expect(actions.length).toBeGreaterThan(0);
    expect(actions.filter((action) => !/^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(action))).toEqual([]);
  });

  test("images by version and digest", () => {
    const images = [
      ...found(read("Dockerfile"), /^ARG \w+_IMAGE=(\S+)/gm),
      ...found(read("deploy/compose/compose.yaml"), /image: (\S+\/\S+)/g),
      ...workflows.flatMap((text) => found(text, /container: (\S+)/g)),
    ];
    expect(images.length).toBeGreaterThanOrEqual(5);
    const bases = found(read("Dockerfile"), /^FROM (\S+)/gm);
    expect(bases.filter((base) => !/^(?:\$\{\w+_IMAGE\}|scratch)$/.test(base))).toEqual([]);
    expect(images.filter((image) => !/:v?\d+[.-]\d+\S*@sha256:[0-9a-f]{64}$/.test(image))).toEqual([]);
  });
});

test("units and the image clear the same variables, and the security page names them", () => {
  const read = (file: string) => readFileSync(join(ROOT, file), "utf8");
  const unset = (unit: string) => settingOf(unit, "UnsetEnvironment").flatMap((value) => value.split(" "));
  const names = unset("fetchbox.service");
  // The service drops all of them but the last, which it refuses.
  const dropped = [...read("src/cli/runtime-settings.ts").matchAll(/^ {2}"(BUN_\w+)",$/gm)].map(
    ([, name = ""]) => name,
  );
  expect(dropped).toContain("BUN_BE_BUN");
  expect(names).toEqual([...dropped, "NODE_TLS_REJECT_UNAUTHORIZED"]);
  expect(unset("fetchbox-backup.service")).toEqual(names);
  const lines = read("Dockerfile").replaceAll("\\\n", "");
  const cleared = ["env", ...names.flatMap((name) => ["-u", name]), "fetchbox"];
  for (const [instruction, rest] of [
    [/^ENTRYPOINT (.*)$/m, []],
    [/^HEALTHCHECK .* CMD (.*)$/m, ["health", "--live"]],
  ] as const) {
    expect(JSON.parse(instruction.exec(lines)?.[1] ?? "[]")).toEqual([...cleared, ...rest]);
  }
  for (const name of names) expect(read("docs/operate/security.md")).toContain(name.replace("BUN_INSPECT_", "_"));
});
