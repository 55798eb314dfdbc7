import type { KeyPath } from "./key-path.ts";

const REFERENCE = /\$(\$?)\{([^}]*)(\}?)/g;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** A `${NAME}` that was filled in. */
export interface Reference {
  readonly name: string;
  /** Empty where the variable is not set. */
  readonly value: string;
}

/** A string of the TOML file: as it stands there, and with its `${NAME}` references filled in. */
export class FileText {
  readonly template: string;
  readonly text: string;
  readonly references: readonly Reference[];
  /** Why a reference could not be filled in, if one could not. */
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

/** The value of a variable, or undefined. */
export type Lookup = (name: string) => string | undefined;

/** Whether a part of a template is one `${NAME}` reference and nothing else. */
export function isReference(template: string): boolean {
  return template.startsWith("${") && template.endsWith("}") && NAME.test(template.slice(2, -1));
}

/**
 * Fills in `${NAME}`; `$${` is a literal `${`. In the userinfo of a URL a value is percent-encoded, so that a
 * password may hold any character.
 */
export function expandReferences(template: string, lookup: Lookup): FileText {
  const userinfoEnd = /^[a-z][a-z0-9+.-]*:\/\/[^/\\?#]*@/i.exec(template)?.[0].length ?? 0;
  const references: Reference[] = [];
  let problem: string | undefined;
  const text = template.replace(REFERENCE, (whole, escape: string, name: string, close: string, at: number) => {
    if (escape !== "") return whole.slice(1);
    const value = lookup(name) ?? "";
    references.push({ name, value });
    if (close === "" || !NAME.test(name)) problem = "must name a variable as in ${NAME}; a literal ${ is written $${";
    else if (value === "") problem = `refers to \${${name}}, which is not set in the environment or .env`;
    return at < userinfoEnd ? encodeURIComponent(value) : value;
  });
  return new FileText(template, text, references, problem);
}

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
