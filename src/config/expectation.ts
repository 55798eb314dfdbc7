import { KindGuard, type TSchema } from "@sinclair/typebox";

/** What a schema wants, to follow "must be". */
export function expectation(schema: TSchema): string {
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
