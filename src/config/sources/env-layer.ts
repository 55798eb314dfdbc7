import { KindGuard, type TSchema } from "@sinclair/typebox";
import { suggest } from "../../std/suggest.ts";
import type { Problem } from "../config-error.ts";
import { maskedNamesOf } from "../field.ts";
import { ConfigSchema } from "../schema.ts";
import { keyText } from "./key-path.ts";
import { emptyTree, FileText, getFromTree, isTree, setInTree, type Tree } from "./tree.ts";
import { isUnknownVariable, OWN_VARIABLES, type Variable } from "./variables.ts";

const PREFIX = /^FETCHBOX__/i;

interface EnvKey {
  readonly path: readonly string[];
  readonly schema: TSchema;
}

/**
 * The key that `FETCHBOX__QUEUE__WORKERS` means, or the problem of its name. Letter case does not matter. In the names
 * of handlers and pools that `tree` has, `_` also means `-` and `.`.
 */
function envKey(tree: unknown, variable: string): EnvKey | string {
  const path: string[] = [];
  let at: TSchema = ConfigSchema;
  let value = tree;
  for (const segment of variable.replace(PREFIX, "").split("__")) {
    if (maskedNamesOf(at) !== undefined)
      return `cannot be set in the environment: write ${"${NAME}"} in the file in place of a value`;
    const next = step(at, value, segment);
    if (next === undefined) return noSuchKey(at, variable, segment);
    path.push(next.key);
    at = next.schema;
    value = isTree(value) ? value[next.key] : undefined;
  }
  const isTable = maskedNamesOf(at) !== undefined || KindGuard.IsRecord(at) || KindGuard.IsObject(at);
  return isTable ? "names a table: name one of its keys" : { path, schema: at };
}

function noSuchKey(schema: TSchema, variable: string, segment: string): string {
  const meant = KindGuard.IsObject(schema) ? suggest(segment, Object.keys(schema.properties)) : undefined;
  const hint = meant === undefined ? "" : `; did you mean ${variable.replace(segment, meant.toUpperCase())}?`;
  return `unknown key of the configuration${hint}`;
}

function step(schema: TSchema, value: unknown, segment: string): { key: string; schema: TSchema } | undefined {
  if (KindGuard.IsObject(schema)) {
    const key = Object.keys(schema.properties).find((name) => name.toLowerCase() === segment.toLowerCase());
    const inner = key === undefined ? undefined : schema.properties[key];
    return key === undefined || inner === undefined ? undefined : { key, schema: inner };
  }
  if (!KindGuard.IsRecord(schema) || segment === "") return undefined;
  const [inner] = Object.values(schema.patternProperties);
  const names = isTree(value) ? Object.keys(value) : [];
  const key = names.find((name) => plain(name) === plain(segment)) ?? segment.toLowerCase();
  return inner === undefined ? undefined : { key, schema: inner };
}

function plain(name: string): string {
  return name.toLowerCase().replace(/[-.]/g, "_");
}

const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ["true", true],
  ["false", false],
]);

/** The text of a variable as the schema's type: number, boolean, or list by commas. Any other text stays as it is. */
function envValue(schema: TSchema, text: string): unknown {
  const trimmed = text.trim();
  if (KindGuard.IsArray(schema))
    return trimmed === "" ? [] : trimmed.split(",").map((item) => envValue(schema.items, item));
  if (KindGuard.IsTransform(schema) || KindGuard.IsString(schema)) return trimmed;
  if (KindGuard.IsBoolean(schema)) return BOOLEANS.get(trimmed) ?? text;
  if (KindGuard.IsNumber(schema) || KindGuard.IsInteger(schema))
    return /^-?\d+(\.\d+)?$/.test(trimmed) ? Number(trimmed) : text;
  return trimmed;
}

/**
 * The layer of the FETCHBOX__ variables, also for the handlers and pools that `tree` has. `setSource` receives the
 * source of each value; an unknown name is a problem.
 */
export function readEnvLayer(
  tree: Tree,
  variables: ReadonlyMap<string, Variable>,
  problems: Problem[],
  setSource: (path: readonly string[], source: string) => void,
): Tree {
  const layer = emptyTree();
  for (const [name, { value, source }] of variables) {
    if (!PREFIX.test(name)) continue;
    const key = envKey(tree, name);
    if (typeof key === "string") {
      problems.push({ source, key: source.endsWith(name) ? "" : name, message: key });
    } else if (getFromTree(layer, key.path) !== undefined) {
      // The environment replaces a variable of .env only if both have the same letter case.
      problems.push({
        source,
        key: keyText(key.path),
        message: "is also set by another variable, whose name differs in letter case only",
      });
    } else {
      setInTree(layer, key.path, envValue(key.schema, value));
      setSource(key.path, source);
    }
  }
  return layer;
}

/** A warning for each unknown FETCHBOX_ variable, with the name that was most likely meant. */
export function unknownVariables(tree: Tree, variables: ReadonlyMap<string, Variable>): Problem[] {
  const known = [...OWN_VARIABLES, ...variablesOf(ConfigSchema, tree, "FETCHBOX")];
  return [...variables].flatMap(([name, { source }]) => {
    if (!isUnknownVariable(name)) return [];
    // The common mistake is one underscore in place of two, with the right words.
    const meant = known.find((each) => withoutRuns(each) === withoutRuns(name)) ?? suggest(name, known);
    const hint = meant === undefined ? "a key is set as in FETCHBOX__QUEUE__WORKERS" : `did you mean ${meant}?`;
    return [{ source, key: source.endsWith(name) ? "" : name, message: `unknown variable; ${hint}` }];
  });
}

function withoutRuns(name: string): string {
  return name.toUpperCase().replaceAll(/_+/g, "_");
}

/** The variables of all keys of a schema, including the keys of the tables that the file names. */
function variablesOf(schema: TSchema, tree: unknown, prefix: string): string[] {
  const below = (name: string) => (isTree(tree) ? tree[name] : undefined);
  if (KindGuard.IsTransform(schema)) return [prefix];
  if (KindGuard.IsObject(schema)) {
    return Object.entries(schema.properties).flatMap(([name, inner]) =>
      variablesOf(inner, below(name), `${prefix}__${name.toUpperCase()}`),
    );
  }
  if (!KindGuard.IsRecord(schema)) return [prefix];
  const [inner] = Object.values(schema.patternProperties);
  if (inner === undefined || !isTree(tree)) return [];
  return Object.keys(tree).flatMap((name) =>
    variablesOf(inner, below(name), `${prefix}__${name.toUpperCase().replaceAll(/[-.]/g, "_")}`),
  );
}

const REGIONS = ["AWS_REGION", "AWS_DEFAULT_REGION"] as const;
const PARTS = ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"] as const;

/**
 * Adds the credentials of S3_* or AWS_* variables to an S3 backend that has none in the configuration. The two families
 * are never mixed: the service would refuse an S3_* key with the session token of an AWS_* key.
 */
export function addCredentials(
  tree: Tree,
  variables: ReadonlyMap<string, Variable>,
  setSource: (path: readonly string[], source: string) => void,
): void {
  if (!isS3(tree)) return;
  if (getFromTree(tree, ["storage", "credentials"]) !== undefined) return;
  const valueOf = (family: string, part: string) => variables.get(`${family}_${part}`)?.value.trim() ?? "";
  const family = ["S3", "AWS"].find((name) => valueOf(name, PARTS[0]) !== "" || valueOf(name, PARTS[1]) !== "");
  if (family === undefined) return;
  for (const part of PARTS) {
    const value = valueOf(family, part);
    if (value === "") continue;
    const path = ["storage", "credentials", part.toLowerCase()];
    setInTree(tree, path, value);
    setSource(path, variables.get(`${family}_${part}`)?.source ?? "");
  }
}

/** Adds the region of AWS_REGION or AWS_DEFAULT_REGION to an S3 backend that has none in the configuration. */
export function addRegion(
  tree: Tree,
  variables: ReadonlyMap<string, Variable>,
  setSource: (path: readonly string[], source: string) => void,
): void {
  const path = ["storage", "region"];
  if (!isS3(tree) || getFromTree(tree, path) !== undefined) return;
  const [found] = REGIONS.flatMap((name) => variables.get(name) ?? []).filter(({ value }) => value.trim() !== "");
  if (found === undefined) return;
  setInTree(tree, path, found.value.trim());
  setSource(path, found.source);
}

function isS3(tree: Tree): boolean {
  const backend = getFromTree(tree, ["storage", "backend"]);
  return (backend instanceof FileText ? backend.text : backend) === "s3";
}
