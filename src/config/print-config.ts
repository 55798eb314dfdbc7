import { KindGuard, TransformKind, type TSchema } from "@sinclair/typebox";
import { stringify } from "smol-toml";
import { maskedNamesOf, mayHoldSecret } from "./field.ts";
import type { LoadedConfig, ValueLayer } from "./load-config.ts";
import { type Config, ConfigSchema } from "./schema.ts";
import { type KeyPath, keyText } from "./sources/key-path.ts";
import { tomlLines } from "./sources/toml-file.ts";
import { isTree } from "./sources/tree.ts";

/** The origins of a configuration's values. */
type Origins = Pick<LoadedConfig, "layerOf" | "writtenAt">;

/**
 * The configuration as TOML, with every secret as `***`. With `origins`, references stay as they are written, and a
 * comment behind each value names its layer.
 */
export function printConfig(config: Config, origins?: Origins): string {
  const encoded = encode(ConfigSchema, config, [], origins?.writtenAt);
  const text = stringify(encoded);
  if (origins === undefined) return text;
  const lines = text.trimEnd().split("\n");
  const places = tomlLines(text);
  for (const [path] of valuesOf(encoded)) {
    const at = (places.get(keyText(path)) ?? 0) - 1;
    if (lines[at] !== undefined) lines[at] += `  # ${origins.layerOf(path).source}`;
  }
  return `${lines.join("\n")}\n`;
}

/** A value of the configuration as it is printed, with its layer. */
export interface PrintedValue extends ValueLayer {
  readonly key: string;
  readonly value: unknown;
  /** True if the value contains a secret, which is masked. */
  readonly secret: boolean;
}

/** The configuration for programs: one row for each value. */
export function listConfig({ config, layerOf, writtenAt }: Pick<LoadedConfig, "config"> & Origins): PrintedValue[] {
  return valuesOf(encode(ConfigSchema, config, [], writtenAt)).map(([path, value]) => ({
    key: keyText(path),
    value,
    ...layerOf(path),
    secret: hasSecret(path, value),
  }));
}

/** True if a printed value may hold a secret, and shows a mask or a reference in its place. */
function hasSecret(path: KeyPath, value: unknown): boolean {
  let schema: TSchema | undefined = ConfigSchema;
  for (const step of path) {
    if (schema === undefined || maskedNamesOf(schema) !== undefined) break;
    schema = KindGuard.IsObject(schema) ? schema.properties[step] : recordSchema(schema);
  }
  return schema !== undefined && mayHoldSecret(schema) && /\*\*\*|\$\{/.test(JSON.stringify(value));
}

/** Every value but the tables, with its path. A free table without entries is a value, too. */
function valuesOf(value: unknown, path: readonly string[] = []): [path: readonly string[], value: unknown][] {
  if (!isTree(value) || isEmptyTable(value)) return [[path, value]];
  return Object.entries(value).flatMap(([key, inner]) => valuesOf(inner, [...path, key]));
}

function encode(schema: TSchema, value: unknown, path: KeyPath, writtenAt?: Origins["writtenAt"]): unknown {
  const written = writtenAt?.(path);
  if (written !== undefined) return written;
  if (KindGuard.IsTransform(schema)) return schema[TransformKind].Encode(value);
  if (typeof value !== "object" || value === null) return value;
  // A free table masks its own values.
  if (maskedNamesOf(schema) !== undefined)
    return "toJSON" in value && typeof value.toJSON === "function" ? value.toJSON() : value;
  if (KindGuard.IsArray(schema))
    return Array.isArray(value) ? value.map((item, at) => encode(schema.items, item, [...path, at], writtenAt)) : value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => {
      const property = KindGuard.IsObject(schema) ? schema.properties[key] : recordSchema(schema);
      const encoded =
        property === undefined || inner === undefined ? undefined : encode(property, inner, [...path, key], writtenAt);
      const isLeftOut = property === undefined || maskedNamesOf(property) === undefined;
      return encoded === undefined || (isLeftOut && isEmptyTable(encoded)) ? [] : [[key, encoded]];
    }),
  );
}

function recordSchema(schema: TSchema): TSchema | undefined {
  return KindGuard.IsRecord(schema) ? Object.values(schema.patternProperties)[0] : undefined;
}

function isEmptyTable(value: unknown): boolean {
  return isTree(value) && Object.keys(value).length === 0;
}
