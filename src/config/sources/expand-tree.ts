import { expandReferences, type Lookup } from "./file-text.ts";
import type { KeyPath } from "./key-path.ts";
import { emptyTree, isTree, type Tree } from "./tree.ts";

/** Nothing in the configuration is deeper, and only a handler's options come near. */
const DEPTH_MAX = 32;

/** A parsed TOML table with every string as `FileText`. What is nested too deeply is reported and left out. */
export function expandTree(table: object, lookup: Lookup, report: (path: KeyPath, message: string) => void): Tree {
  const expand = (value: unknown, path: KeyPath): unknown => {
    if (typeof value === "string") return expandReferences(value, lookup);
    if (path.length > DEPTH_MAX) {
      report(path, `must not be nested deeper than ${DEPTH_MAX} levels`);
      return undefined;
    }
    if (Array.isArray(value)) return value.map((item, index) => expand(item, [...path, index]));
    if (!isTree(value)) return value;
    const tree = emptyTree();
    for (const [key, inner] of Object.entries(value)) tree[key] = expand(inner, [...path, key]);
    return tree;
  };
  return expand(table, []) as Tree;
}
