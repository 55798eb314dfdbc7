import { KindGuard, type TSchema } from "@sinclair/typebox";
import { suggest } from "../../std/suggest.ts";
import type { Problem } from "../config-error.ts";
import { sealOf } from "../field.ts";
import { keyText } from "./key-path.ts";
import { emptyTree, getFromTree, isTree, setInTree, type Tree } from "./tree.ts";
import type { Variable } from "./variables.ts";

const PREFIX = /^FETCHBOX__/i;

interface EnvKey {
  readonly path: readonly string[];
  readonly schema: TSchema;
}

/**
 * The key that `FETCHBOX__QUEUE__WORKERS` means, or what is wrong with the name. Letter case does not matter. In
 * the names of handlers and pools that `tree` has already, `_` stands for `-` and `.` too.
 */
function envKey(schema: TSchema, tree: unknown, variable: string): EnvKey | string {
  const path: string[] = [];
  let at = schema;
  let value = tree;
  for (const segment of variable.replace(PREFIX, "").split("__")) {
    if (sealOf(at) !== undefined)
      return `cannot be set by the environment: write ${"${NAME}"} in the file in place of a value`;
    const next = step(at, value, segment);
    if (next === undefined) return noSuchKey(at, variable, segment);
    path.push(next.key);
    at = next.schema;
    value = isTree(value) ? value[next.key] : undefined;
  }
  const isTable = sealOf(at) !== undefined || KindGuard.IsRecord(at) || KindGuard.IsObject(at);
  return isTable ? "names a table; name one of its keys" : { path, schema: at };
}

function noSuchKey(schema: TSchema, variable: string, segment: string): string {
  const meant = KindGuard.IsObject(schema) ? suggest(segment, Object.keys(schema.properties)) : undefined;
  const hint = meant === undefined ? "" : `; did you mean ${variable.replace(segment, meant.toUpperCase())}?`;
  return `names no key of the configuration${hint}`;
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

/** The text of a variable as the schema wants it: numbers, booleans, lists by comma. What does not fit stays text. */
function envValue(schema: TSchema, text: string): unknown {
  const trimmed = text.trim();
  if (KindGuard.IsArray(schema))
    return trimmed === "" ? [] : trimmed.split(",").map((item) => envValue(schema.items, item));
  if (KindGuard.IsTransform(schema) || KindGuard.IsString(schema)) return trimmed;
  if (KindGuard.IsBoolean(schema)) return trimmed === "true" ? true : trimmed === "false" ? false : text;
  if (KindGuard.IsNumber(schema) || KindGuard.IsInteger(schema))
    return /^-?\d+(\.\d+)?$/.test(trimmed) ? Number(trimmed) : text;
  return trimmed;
}

/**
 * The layer that FETCHBOX__ variables make, for the keys of `tree`'s handlers and pools too. `setSource` hears where
 * each value comes from; a name that means no key is a problem.
 */
export function readEnvLayer(
  schema: TSchema,
  tree: Tree,
  variables: ReadonlyMap<string, Variable>,
  problems: Problem[],
  setSource: (path: readonly string[], source: string) => void,
): Tree {
  const layer = emptyTree();
  for (const [name, { value, source }] of variables) {
    if (!PREFIX.test(name)) continue;
    const key = envKey(schema, tree, name);
    if (typeof key === "string") {
      problems.push({ source, key: source.endsWith(name) ? "" : name, message: key });
    } else if (getFromTree(layer, key.path) !== undefined) {
      // .env and the environment write a name alike or they are two variables.
      problems.push({
        source,
        key: keyText(key.path),
        message: "is set by another variable too, whose name differs in letter case only",
      });
    } else {
      setInTree(layer, key.path, envValue(key.schema, value));
      setSource(key.path, source);
    }
  }
  return layer;
}
