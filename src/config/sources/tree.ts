import { FileText } from "./file-text.ts";
import type { KeyPath } from "./key-path.ts";

/** A table of values before they are checked. Without a prototype: its keys come from outside. */
export type Tree = { [key: string]: unknown };

export function emptyTree(): Tree {
  const tree: Tree = Object.create(null);
  return tree;
}

export function isTree(value: unknown): value is Tree {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return !(value instanceof FileText) && !(value instanceof Date);
}

/** What both say; where they differ, `over`. A value that is no table where `over` has one stays, to be refused. */
export function mergeTrees(under: Tree, over: Tree): Tree {
  const merged = emptyTree();
  for (const [key, value] of Object.entries(under)) merged[key] = value;
  for (const [key, value] of Object.entries(over)) {
    const old = merged[key];
    if (isTree(old) && isTree(value)) merged[key] = mergeTrees(old, value);
    else if (old === undefined || !isTree(value)) merged[key] = value;
  }
  return merged;
}

/** Sets a value deep inside, making the tables on the way. Leaves things alone where something else is in the way. */
export function setInTree(tree: Tree, path: readonly string[], value: unknown): void {
  const [key, ...rest] = path;
  if (key === undefined) return;
  if (rest.length === 0) {
    tree[key] = value;
    return;
  }
  tree[key] ??= emptyTree();
  const inner = tree[key];
  if (isTree(inner)) setInTree(inner, rest, value);
}

/** The value at a path, or undefined. */
export function getFromTree(tree: unknown, path: KeyPath): unknown {
  return path.reduce<unknown>((value, key) => {
    if (Array.isArray(value)) return value[Number(key)] as unknown;
    return isTree(value) ? value[String(key)] : undefined;
  }, tree);
}

/** Every value that is no table, with its path. */
export function* leavesOf(
  tree: Tree,
  path: readonly string[] = [],
): Generator<[path: readonly string[], value: unknown]> {
  for (const [key, value] of Object.entries(tree)) {
    if (isTree(value)) yield* leavesOf(value, [...path, key]);
    else yield [[...path, key], value];
  }
}
