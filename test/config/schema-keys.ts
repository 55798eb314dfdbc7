import { KindGuard, type TSchema } from "@sinclair/typebox";
import { formatSize } from "../../src/config/field.ts";

export interface SchemaKey {
  /** Steps from the top; `*` stands for the name of a handler or a pool. */
  readonly path: readonly string[];
  readonly schema: TSchema;
}

/** Every key of the schema that takes a value. */
export function schemaKeys(schema: TSchema, path: readonly string[] = []): SchemaKey[] {
  if (schema["masked"] !== undefined) return [{ path, schema }];
  if (KindGuard.IsObject(schema)) {
    return Object.entries(schema.properties).flatMap(([key, inner]) => schemaKeys(inner, [...path, key]));
  }
  if (KindGuard.IsRecord(schema)) {
    return Object.values(schema.patternProperties).flatMap((inner) => schemaKeys(inner, [...path, "*"]));
  }
  return [{ path, schema }];
}

/** The row of docs/operate/configuration.md for one key. */
export function documentedRow({ path, schema }: SchemaKey): string {
  const key = path.join(".").replace("*", "NAME");
  const fallback = schema.default === undefined ? "" : `\`${JSON.stringify(schema.default)}\``;
  const description = String(schema.description).replaceAll("|", "\\|");
  return `| \`${key}\` | ${kindOf(schema)} | ${fallback} | ${description} |`;
}

function kindOf(schema: TSchema): string {
  if (KindGuard.IsInteger(schema) || KindGuard.IsNumber(schema)) {
    return `${KindGuard.IsInteger(schema) ? "integer" : "number"}, ${schema.minimum} to ${schema.maximum}`;
  }
  if (KindGuard.IsUnion(schema)) {
    const words = schema.anyOf.filter(KindGuard.IsLiteral).map((literal) => `\`"${literal.const}"\``);
    if (words.length > 0) return words.join(" ");
    return `size, ${formatSize(Number(schema["minimum"]))} to ${formatSize(Number(schema["maximum"]))}`;
  }
  if (KindGuard.IsArray(schema)) return `list, ${schema.minItems ?? 0} to ${schema.maxItems}`;
  if (KindGuard.IsBoolean(schema)) return "true or false";
  return KindGuard.IsRecord(schema) ? "table" : "string";
}
