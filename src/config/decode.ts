import { inspect } from "node:util";
import { KindGuard, type TObject, type TRecord, TransformKind, type TSchema } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { errorText } from "../std/error-text.ts";
import { suggest } from "../std/suggest.ts";
import { MASK } from "../std/visible-text.ts";
import { maskedNamesOf, mayHoldSecret, nameRuleOf, secretPartOf, wrapsSecrets } from "./field.ts";
import { type KeyPath, shownKey } from "./sources/key-path.ts";
import { emptyTree, FileText, isReference, isTree } from "./sources/tree.ts";
import { Secret } from "./values/secret.ts";

const NO_SECRET = "must not hold a secret itself: write ${NAME} in its place and set NAME in the environment";

/** Receives every problem. `unusable` means that the result has no value at the path. */
type Report = (path: KeyPath, message: string, unusable: boolean) => void;

/**
 * The decoded values of a raw tree, with defaults filled in. `report` receives every problem. An unusable value is
 * `undefined` in the result; every table is there.
 */
export function decode(schema: TSchema, raw: unknown, path: KeyPath, report: Report): unknown {
  if (maskedNamesOf(schema) !== undefined) return decodeMasked(schema, raw, path, report);
  if (KindGuard.IsObject(schema) && !KindGuard.IsTransform(schema)) return decodeObject(schema, raw, path, report);
  if (KindGuard.IsRecord(schema)) return decodeRecord(schema, raw, path, report);
  const present = raw === undefined ? schema.default : raw;
  if (present === undefined) {
    report(path, `is missing. ${schema.description ?? ""}`.trim(), true);
    return undefined;
  }
  if (KindGuard.IsArray(schema) && Array.isArray(present)) {
    if (!checkLength(schema, present, path, report)) return undefined;
    return present.map((item, index) => decode(schema.items, item, [...path, index], report));
  }
  return decodeLeaf(schema, present, path, report);
}

function decodeObject(schema: TObject, raw: unknown, path: KeyPath, report: Report): unknown {
  if (raw !== undefined && !isTree(raw)) {
    report(path, `must be a table${got(schema, raw)}`, true);
    return decodeObject(schema, undefined, path, () => {});
  }
  const tree = raw ?? {};
  const known = Object.keys(schema.properties);
  for (const key of Object.keys(tree)) {
    if (!known.includes(key)) report([...path, key], unknownKey(key, known, path), false);
  }
  const required = new Set(schema.required);
  const present = known.filter((key) => Object.hasOwn(tree, key) || required.has(key));
  return Object.fromEntries(
    present.map((key) => {
      const property = schema.properties[key];
      return [key, property === undefined ? undefined : decode(property, tree[key], [...path, key], report)];
    }),
  );
}

function unknownKey(key: string, known: readonly string[], path: KeyPath): string {
  const meant = suggest(key, known);
  const table = path.length === 0 ? "the configuration" : `[${shownKey(path)}]`;
  return meant === undefined
    ? `unknown key; ${table} has ${known.join(", ")}`
    : `unknown key; did you mean ${shownKey([...path, meant])}?`;
}

function decodeRecord(schema: TRecord, raw: unknown, path: KeyPath, report: Report): unknown {
  if (raw !== undefined && !isTree(raw)) {
    report(path, `must be a table${got(schema, raw)}`, true);
    return emptyTree();
  }
  // Clients choose the names that are looked up here, so the table has no prototype.
  const decoded = emptyTree();
  for (const [pattern, value] of Object.entries(schema.patternProperties)) {
    for (const [name, inner] of Object.entries(raw ?? {})) {
      if (new RegExp(pattern).test(name)) decoded[name] = decode(value, inner, [...path, name], report);
      else report([...path, name], nameRuleOf(schema), false);
    }
  }
  return decoded;
}

function decodeMasked(schema: TSchema, raw: unknown, path: KeyPath, report: Report): unknown {
  for (const [name, inner] of isTree(raw) ? Object.entries(raw) : []) {
    const isLiteral = inner instanceof FileText && !inner.hasReference;
    if (isLiteral && maskedNamesOf(schema)?.(name) === true) report([...path, name], NO_SECRET, false);
  }
  const { value, shown: masked } = unwrapTable(raw ?? schema.default, path, (at, message) =>
    report(at, message, false),
  );
  if (typeof value === "object" && value !== null && Value.Check(schema, value)) {
    return maskTable(wrapsSecrets(schema) ? withSecrets(value, raw) : { ...value }, masked);
  }
  const first = Value.Errors(schema, value).First();
  const inner = first?.path.split("/").slice(1) ?? [];
  report([...path, ...inner], `must be ${expectation(first?.schema ?? schema)}`, true);
  return undefined;
}

/** The values; those that came from references are a `Secret`. */
function withSecrets(values: object, raw: unknown): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      const source = isTree(raw) ? raw[name] : undefined;
      if (!(source instanceof FileText) || !source.hasReference) return [name, value];
      return [
        name,
        new Secret(
          String(value),
          source.references.map((reference) => reference.value),
        ),
      ];
    }),
  );
}

function checkLength(schema: TSchema, items: readonly unknown[], path: KeyPath, report: Report): boolean {
  const { minItems = 0, maxItems = Number.POSITIVE_INFINITY } = schema as { minItems?: number; maxItems?: number };
  if (items.length >= minItems && items.length <= maxItems) return true;
  report(path, `must be ${expectation(schema)}, got ${items.length}`, true);
  return false;
}

function decodeLeaf(schema: TSchema, raw: unknown, path: KeyPath, report: Report): unknown {
  const refused = raw instanceof FileText ? fileTextProblem(schema, raw) : undefined;
  if (refused !== undefined) {
    report(path, refused, true);
    return undefined;
  }
  const value = raw instanceof FileText ? raw.text : raw;
  if (!Value.Check(schema, value)) {
    report(path, `must be ${expectation(schema)}${got(schema, raw)}`, true);
    return undefined;
  }
  if (!KindGuard.IsTransform(schema)) return value;
  try {
    return schema[TransformKind].Decode(value) as unknown;
  } catch (error) {
    const message = errorText(error);
    report(path, `${message}${got(schema, raw)}`, true);
    return undefined;
  }
}

/** The problem that only the file's own text shows: a literal secret, or a reference to an unset variable. */
function fileTextProblem(schema: TSchema, { template, problem }: FileText): string | undefined {
  const secret = secretPartOf(schema)?.(template) ?? "";
  return secret === "" || isReference(secret) ? problem : NO_SECRET;
}

/** The refused value for a message: shortened, with its references unfilled, and left out where it may be a secret. */
function got(schema: TSchema, raw: unknown): string {
  if (secretPartOf(schema) !== undefined) return "";
  if (isTree(raw)) return ", got a table";
  if (Array.isArray(raw)) return ", got a list";
  if (mayHoldSecret(schema) || looksSecret(raw)) {
    return `, got a ${raw instanceof FileText || raw instanceof Date ? "string" : typeof raw}`;
  }
  const text = typeof raw === "number" ? String(raw) : JSON.stringify(raw instanceof FileText ? raw.template : raw);
  return `, got ${text.length > 60 ? `${text.slice(0, 60)}…` : text}`;
}

/** Whether a value looks like a token, an Authorization header or a URL with a password, at a key for other values. */
function looksSecret(raw: unknown): boolean {
  const text = raw instanceof FileText ? raw.template : raw;
  return (
    typeof text === "string" &&
    /^(?:(?:operator|submit|read)(?:\/[^:]*)?:|\w+:\S{16})|^(?:bearer|basic)\s|:\/\/[^/]*@/i.test(text)
  );
}

/** The values that a schema accepts, as words that follow "must be". */
function expectation(schema: TSchema): string {
  if (KindGuard.IsUnion(schema)) return choices(schema.anyOf);
  if (KindGuard.IsInteger(schema)) return `a whole number${range(schema.minimum, schema.maximum)}`;
  if (KindGuard.IsNumber(schema)) return `a number${range(schema.minimum, schema.maximum)}`;
  if (KindGuard.IsBoolean(schema)) return "true or false";
  if (KindGuard.IsArray(schema)) return `a list${range(schema.minItems, schema.maxItems, " entries")}`;
  if (KindGuard.IsString(schema))
    return schema.pattern === undefined
      ? `a string${range(schema.minLength, schema.maxLength, " characters")}`
      : `a string that matches ${schema.pattern}`;
  return "a table";
}

function choices(options: readonly TSchema[]): string {
  if (options.every(KindGuard.IsLiteral)) return options.map((option) => JSON.stringify(option.const)).join(" or ");
  return 'a size like "5MiB", "512KB" or a number of bytes';
}

function range(minimum: number | undefined, maximum: number | undefined, unit = ""): string {
  if (minimum === undefined && maximum === undefined) return "";
  if (maximum === undefined) return ` of at least ${minimum}${unit}`;
  return unit === "" ? ` between ${minimum} and ${maximum}` : ` of ${minimum ?? 0} to ${maximum}${unit}`;
}

/**
 * The plain values of a free table, and a copy with `***` for every value that came from a reference.
 * `report` receives the references that could not be filled in.
 */
function unwrapTable(
  raw: unknown,
  path: KeyPath,
  report: (path: KeyPath, message: string) => void,
): { value: unknown; shown: unknown } {
  if (raw instanceof FileText) {
    if (raw.problem !== undefined) report(path, raw.problem);
    return { value: raw.text, shown: raw.hasReference ? MASK : raw.text };
  }
  if (Array.isArray(raw)) {
    const items = raw.map((item, index) => unwrapTable(item, [...path, index], report));
    return { value: items.map((item) => item.value), shown: items.map((item) => item.shown) };
  }
  if (!isTree(raw)) return { value: raw, shown: raw };
  const entries = Object.entries(raw).map(([key, inner]) => ({ key, ...unwrapTable(inner, [...path, key], report) }));
  return {
    value: Object.fromEntries(entries.map(({ key, value }) => [key, value])),
    shown: Object.fromEntries(entries.map(({ key, shown }) => [key, shown])),
  };
}

/** The same table, which JSON.stringify and console.log print as `shown`. */
function maskTable<T extends object>(table: T, shown: unknown): T {
  const show = { value: () => shown, enumerable: false };
  return Object.defineProperties(table, { toJSON: show, [inspect.custom]: show });
}
