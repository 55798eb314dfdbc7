import type { KeyPath } from "./key-path.ts";

const REFERENCE = /\$(\$?)\{([^}]*)(\}?)/g;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** A filled-in `${NAME}`. */
interface Reference {
  readonly name: string;
  /** Empty if the variable is not set. */
  readonly value: string;
}

/** A string of the TOML file: as it is written, and with its `${NAME}` references filled in. */
export class FileText {
  readonly template: string;
  readonly text: string;
  readonly references: readonly Reference[];
  /** The reason why a reference could not be filled in, or `undefined`. */
  readonly problem: string | undefined;

  constructor(template: string, text: string, references: readonly Reference[], problem: string | undefined) {
    this.template = template;
    this.text = text;
    this.references = references;
    this.problem = problem;
  }

  get hasReference(): boolean {
    return this.references.length > 0;
  }
}

/** Returns the value of a variable, or `undefined`. */
type Lookup = (name: string) => string | undefined;

/** Whether a text consists of one `${NAME}` reference. */
export function isReference(template: string): boolean {
  return template.startsWith("${") && template.endsWith("}") && NAME.test(template.slice(2, -1));
}

/**
 * The text with its `${NAME}` references filled in; `$${` is a literal `${`. In the userinfo of a URL, a value is
 * percent-encoded, so that a password may contain any character.
 */
export function expandReferences(template: string, lookup: Lookup): FileText {
  const userinfoEnd = /^[a-z][a-z0-9+.-]*:\/\/[^/\\?#]*@/i.exec(template)?.[0].length ?? 0;
  const references: Reference[] = [];
  let problem: string | undefined;
  const text = template.replace(REFERENCE, (whole, ...[escape, name, close, at]: [string, string, string, number]) => {
    if (escape !== "") return whole.slice(1);
    const value = lookup(name) ?? "";
    references.push({ name, value });
    if (close === "" || !NAME.test(name)) problem = "must name a variable as in ${NAME}; write $${ for a literal ${";
    else if (value === "") problem = `refers to \${${name}}, which is not set in the environment or .env`;
    return at < userinfoEnd ? encodeURIComponent(value) : value;
  });
  return new FileText(template, text, references, problem);
}

/** A table of unchecked values. It has no prototype, because its keys come from outside. */
export type Tree = { [key: string]: unknown };

export function emptyTree(): Tree {
  const tree: Tree = Object.create(null);
  return tree;
}

export function isTree(value: unknown): value is Tree {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return !(value instanceof FileText) && !(value instanceof Date);
}

/** The values of both trees; `over` wins. A value that is no table where `over` has one stays: the check refuses it. */
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

/** Sets the value at a path and makes the tables on the way. A value on the way that is no table stops it. */
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

/** The value at a path, or `undefined`. */
export function getFromTree(tree: unknown, path: KeyPath): unknown {
  return path.reduce<unknown>((value, key) => {
    if (Array.isArray(value)) return value[Number(key)] as unknown;
    return isTree(value) ? value[String(key)] : undefined;
  }, tree);
}

/** Every value but the tables, with its path. */
export function* leavesOf(
  tree: Tree,
  path: readonly string[] = [],
): Generator<[path: readonly string[], value: unknown]> {
  for (const [key, value] of Object.entries(tree)) {
    if (isTree(value)) yield* leavesOf(value, [...path, key]);
    else yield [[...path, key], value];
  }
}

/** No key of the configuration is deeper; only a handler's options come near. */
const DEPTH_MAX = 32;

/** A parsed TOML table with every string as `FileText`. A value that is nested too deeply is reported and left out. */
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
