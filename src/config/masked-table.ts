import { inspect } from "node:util";
import { FileText } from "./sources/file-text.ts";
import type { KeyPath } from "./sources/key-path.ts";
import { isTree } from "./sources/tree.ts";

/**
 * The plain values of a free table, and the same with every value that came from a reference as `***`.
 * References that could not be filled in are told to `report`.
 */
export function unwrapTable(
  raw: unknown,
  path: KeyPath,
  report: (path: KeyPath, message: string) => void,
): { value: unknown; shown: unknown } {
  if (raw instanceof FileText) {
    if (raw.problem !== undefined) report(path, raw.problem);
    return { value: raw.text, shown: raw.hasReference ? "***" : raw.text };
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

/** Makes JSON.stringify and console.log show `shown` in the table's place; its keys and values stay as they are. */
export function maskTable<T extends object>(table: T, shown: unknown): T {
  const show = { value: () => shown, enumerable: false };
  return Object.defineProperties(table, { toJSON: show, [inspect.custom]: show });
}
