import { KindGuard, TransformKind, type TSchema } from "@sinclair/typebox";
import { stringify } from "smol-toml";
import { sealOf } from "./field.ts";
import { type KeyPath, keyText } from "./key-path.ts";
import type { LoadedConfig, ValueLayer } from "./load.ts";
import { type Config, ConfigSchema } from "./schema.ts";
import { tomlLines } from "./toml-lines.ts";
import { isTree } from "./tree.ts";

/** The configuration as TOML, as one would write it, every secret as `***`; behind each value what `sourceOf` says. */
export function printConfig(config: Config, sourceOf?: (path: KeyPath) => string): string {
  const encoded = encode(ConfigSchema, config);
  const text = stringify(encoded);
  if (sourceOf === undefined) return text;
  const lines = text.trimEnd().split("\n");
  const places = tomlLines(text);
  for (const [path] of valuesOf(encoded)) {
    const at = (places.get(keyText(path)) ?? 0) - 1;
    if (lines[at] !== undefined) lines[at] += `  # ${sourceOf(path)}`;
  }
  return `${lines.join("\n")}\n`;
}

/** A value of the configuration as it is printed, with the layer that it comes from. */
export interface PrintedValue extends ValueLayer {
  readonly key: string;
  readonly value: unknown;
}

/** The same for programs: one row a value. */
export function listConfig({ config, layerOf }: Pick<LoadedConfig, "config" | "layerOf">): PrintedValue[] {
  return valuesOf(encode(ConfigSchema, config)).map(([path, value]) => ({
    key: keyText(path),
    value,
    ...layerOf(path),
  }));
}

/** Every value that is no table, with its path. */
function valuesOf(value: unknown, path: readonly string[] = []): [path: readonly string[], value: unknown][] {
  if (!isTree(value)) return [[path, value]];
  return Object.entries(value).flatMap(([key, inner]) => valuesOf(inner, [...path, key]));
}

function encode(schema: TSchema, value: unknown): unknown {
  if (KindGuard.IsTransform(schema)) return schema[TransformKind].Encode(value);
  if (typeof value !== "object" || value === null) return value;
  // Free tables know themselves what may be shown.
  if (sealOf(schema) !== undefined)
    return "toJSON" in value && typeof value.toJSON === "function" ? value.toJSON() : value;
  if (KindGuard.IsArray(schema)) return Array.isArray(value) ? value.map((item) => encode(schema.items, item)) : value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => {
      const property = KindGuard.IsObject(schema) ? schema.properties[key] : recordSchema(schema);
      const encoded = property === undefined || inner === undefined ? undefined : encode(property, inner);
      return encoded === undefined || isEmptyTable(encoded) ? [] : [[key, encoded]];
    }),
  );
}

function recordSchema(schema: TSchema): TSchema | undefined {
  return KindGuard.IsRecord(schema) ? Object.values(schema.patternProperties)[0] : undefined;
}

function isEmptyTable(value: unknown): boolean {
  return isTree(value) && Object.keys(value).length === 0;
}
