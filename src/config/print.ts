import { KindGuard, TransformKind, type TSchema } from "@sinclair/typebox";
import { stringify } from "smol-toml";
import { sealOf } from "./field.ts";
import { type Config, ConfigSchema } from "./schema.ts";
import { isTree } from "./tree.ts";

/** The configuration as TOML, as one would write it, with every secret as `***`. */
export function printConfig(config: Config): string {
  return stringify(encode(ConfigSchema, config));
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
