import { KindGuard, type SchemaOptions, type TProperties, type TSchema, type TUnsafe, Type } from "@sinclair/typebox";
import { mayBeSecret } from "../net/request-header.ts";
import { Secret } from "./values/secret.ts";

/** A field's options beside TypeBox's own. */
interface FieldOptions extends SchemaOptions {
  readonly description: string;
  /** The part of a file's text that must be a `${NAME}` reference; messages never repeat such a field. */
  readonly secretPart?: (text: string) => string;
}

/** One of a list of words. */
export function choice<const T extends string>(
  words: readonly T[],
  options: FieldOptions & { default: T },
): TUnsafe<T> {
  return Type.Unsafe<T>(
    Type.Union(
      words.map((word) => Type.Literal(word)),
      options,
    ),
  );
}

/** A whole number. */
export function integer(minimum: number, maximum: number, fallback: number, description: string) {
  return Type.Integer({ minimum, maximum, default: fallback, description });
}

/** A number; fractions are allowed. */
export function decimal(minimum: number, maximum: number, fallback: number, description: string) {
  return Type.Number({ minimum, maximum, default: fallback, description });
}

/** A size: "5MiB" or a number in the file, bytes when decoded. Both bounds are bytes. */
export function size(minimum: number, maximum: number, fallback: string, description: string) {
  const raw = Type.Union([Type.Integer(), Type.String()], { default: fallback, description, minimum, maximum });
  return Type.Transform(raw)
    .Decode((value) => {
      const bytes = parseSize(value);
      if (bytes >= minimum && bytes <= maximum) return bytes;
      throw new Error(`must be between ${formatSize(minimum)} and ${formatSize(maximum)}`);
    })
    .Encode(formatSize);
}

/** Tables by names that the operator chooses; `rule` is the pattern in words, as in "must be …". */
export function named<T extends TSchema>(pattern: string, rule: string, inner: T, description: string) {
  return Type.Record(Type.String({ pattern }), inner, { description, nameRule: rule });
}

export function nameRuleOf(schema: TSchema): string {
  return (schema as { nameRule?: string }).nameRule ?? "must have another name";
}

/** A string that obeys a rule; the rule returns the problem or `undefined`. */
export function ruled(rule: (text: string) => string | undefined, options: FieldOptions) {
  return parsed(
    (text) => {
      const problem = rule(text);
      if (problem !== undefined) throw new Error(problem);
      return text;
    },
    (text) => text,
    options,
  );
}

/** A string that decodes to another value. `parse` throws the problem; `format` returns the text, masked. */
export function parsed<T>(parse: (text: string) => T, format: (value: T) => string, options: FieldOptions) {
  return Type.Transform(Type.String({ maxLength: 4096, ...options }))
    .Decode(parse)
    .Encode(format);
}

/**
 * A free table that prints its `${NAME}` values as `***`. In a file, the values of the names that `mustRefer` picks
 * must hold a reference.
 */
export function masked<T extends TSchema>(schema: T, mustRefer: (name: string) => boolean = () => false): T {
  return { ...schema, masked: mustRefer };
}

/**
 * A free table of headers, in which every value that came from a reference is a `Secret`. A header whose name suggests
 * a secret must refer to a variable.
 */
export function headerTable(description: string) {
  const schema = Type.Record(Type.String(), Type.String(), { default: {}, description });
  return { ...masked(Type.Unsafe<Record<string, string | Secret>>(schema), mayBeSecret), wrapsSecrets: true };
}

/** Whether the values of a free table that came from references become `Secret`s. */
export function wrapsSecrets(schema: TSchema): boolean {
  return schema["wrapsSecrets"] === true;
}

/** The names picked by `mustRefer` of a free table; undefined for any other schema. */
export function maskedNamesOf(schema: TSchema): ((name: string) => boolean) | undefined {
  return schema["masked"] as ReturnType<typeof maskedNamesOf>;
}

/** Whether the schema, or a schema below it, has a place for a secret. */
export function mayHoldSecret(schema: TSchema): boolean {
  if (secretPartOf(schema) !== undefined || maskedNamesOf(schema) !== undefined) return true;
  if (KindGuard.IsArray(schema)) return mayHoldSecret(schema.items);
  if (KindGuard.IsObject(schema)) return Object.values(schema.properties).some(mayHoldSecret);
  return KindGuard.IsRecord(schema) && Object.values(schema.patternProperties).some(mayHoldSecret);
}

/** The schema's `FieldOptions.secretPart`. */
export function secretPartOf(schema: TSchema): FieldOptions["secretPart"] {
  return schema["secretPart"] as FieldOptions["secretPart"];
}

const UNITS: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["b", 1],
  ["kb", 1e3],
  ["mb", 1e6],
  ["gb", 1e9],
  ["tb", 1e12],
  ["kib", 2 ** 10],
  ["mib", 2 ** 20],
  ["gib", 2 ** 30],
  ["tib", 2 ** 40],
]);

/** The bytes of a size: `5MiB` (powers of 1024), `512KB` (powers of 1000) or a number. Throws on any other text. */
export function parseSize(size: string | number): number {
  const match = /^(\d{1,16}) ?([a-z]{0,3})$/i.exec(String(size));
  const unit = UNITS.get(match?.[2]?.toLowerCase() ?? "none");
  const bytes = unit === undefined ? Number.NaN : Number(match?.[1]) * unit;
  if (!Number.isSafeInteger(bytes)) throw new Error('must be a size like "5MiB", "512KB" or a number of bytes');
  return bytes;
}

/** The shortest text that `parseSize` reads back as the same number of bytes. */
export function formatSize(bytes: number): string {
  for (const [unit, name] of [
    [2 ** 40, "TiB"],
    [2 ** 30, "GiB"],
    [2 ** 20, "MiB"],
    [2 ** 10, "KiB"],
  ] as const) {
    if (bytes >= unit && bytes % unit === 0) return `${bytes / unit}${name}`;
  }
  return `${bytes}B`;
}

export function table<T extends TProperties>(properties: T) {
  return Type.Object(properties, { additionalProperties: false });
}

export function path(fallback: string, description: string) {
  const rule = (text: string) => (text === "" || text.includes("\0") ? "must be a path" : undefined);
  return ruled(rule, { default: fallback, description });
}

export function optionalPath(description: string) {
  const rule = (text: string) => (text.includes("\0") ? "must be a path" : undefined);
  return ruled(rule, { default: "", description });
}

export function secret(description: string) {
  const parse = (text: string) => {
    if (!/^[!-~]{1,4096}$/.test(text)) throw new Error("must be visible ASCII characters");
    return new Secret(text);
  };
  return parsed(parse, String, { description, secretPart: (text) => text });
}
