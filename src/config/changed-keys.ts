import type { Config } from "./schema.ts";
import { keyText } from "./sources/key-path.ts";
import { Secret } from "./values/secret.ts";

/** The keys whose values differ between two configurations, as one writes them in TOML; a list is one value. */
export function changedKeys(before: Config, after: Config): string[] {
  return differences(before, after, []);
}

function differences(before: unknown, after: unknown, path: readonly string[]): string[] {
  if (!isTable(before) || !isTable(after)) return isSame(before, after) ? [] : [keyText(path)];
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...keys].flatMap((key) => differences(before[key], after[key], [...path, key]));
}

function isSame(before: unknown, after: unknown): boolean {
  if (before instanceof Secret && after instanceof Secret) return before.reveal() === after.reveal();
  if (Array.isArray(before) && Array.isArray(after)) {
    return before.length === after.length && before.every((item, at) => isSame(item, after[at]));
  }
  if (isTable(before) && isTable(after)) return differences(before, after, []).length === 0;
  return Object.is(before, after);
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Secret);
}
