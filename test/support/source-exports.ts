import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

/** A declaration that a file exports, and the files that import it. */
interface Exported {
  /** `src/std/quote.ts#quote`. */
  readonly id: string;
  readonly isType: boolean;
  /** True if its own file uses it, too. */
  readonly isUsedAtHome: boolean;
  readonly importers: readonly string[];
}

/** The forms of exports in src. The formatter writes each at the start of a line. */
const DECLARATION =
  /^export (?:abstract )?(?:async )?(function\*?|class|const|let|interface|type) (\w+)|^export (?:type )?\{([^}]*)\}/gm;
const NAMED = /^(?:import|export) (?:type )?(?:\w+, )?\{([^}]*)\} from "(\.[^"]+)"/gm;
const NAMESPACE = /^import (?:type )?\* as (\w+) from "(\.[^"]+)"/gm;
const DYNAMIC_MEMBER = /\(await import\("(\.[^"]+)"\)\)\.(\w+)/g;
const DYNAMIC_NAMES = /const \{([^}]*)\} = await import\("(\.[^"]+)"\)/g;

/** Every export of the `sources`, with its importers among `files`. @throws for a form that it does not know */
export function exportsOf(root: string, sources: readonly string[], files: readonly string[]): Exported[] {
  const texts = new Map(files.map((file) => [file, readFileSync(join(root, file), "utf8")]));
  const importers = new Map<string, string[]>();
  for (const [file, text] of texts) {
    for (const id of importedBy(file, text)) importers.set(id, [...(importers.get(id) ?? []), file]);
  }
  return sources.flatMap((file) => {
    const text = texts.get(file) ?? "";
    const declared = declaredIn(text);
    if ([...text.matchAll(/^export /gm)].length > [...text.matchAll(DECLARATION)].length) {
      throw new Error(`${file} has a form of export that this check does not know`);
    }
    return declared.map(({ name, isType }) => {
      const id = `${file}#${name}`;
      const isUsedAtHome = [...withoutComments(text).matchAll(new RegExp(`\\b${name}\\b`, "g"))].length > 1;
      return { id, isType, isUsedAtHome, importers: importers.get(id) ?? [] };
    });
  });
}

function declaredIn(text: string): { name: string; isType: boolean }[] {
  return [...text.matchAll(DECLARATION)].flatMap(([, keyword, name, list]) =>
    name === undefined
      ? namesIn(list ?? "", / as (\w+)/).map((each) => ({ name: each, isType: false }))
      : [{ name, isType: keyword === "interface" || keyword === "type" }],
  );
}

function importedBy(file: string, text: string): Set<string> {
  const ids = new Set<string>();
  const add = (path: string, name: string) => ids.add(`${normalize(join(dirname(file), path))}#${name}`);
  for (const [, list = "", path = ""] of text.matchAll(NAMED)) for (const name of namesIn(list)) add(path, name);
  for (const [, list = "", path = ""] of text.matchAll(DYNAMIC_NAMES))
    for (const name of namesIn(list)) add(path, name);
  for (const [, path = "", name = ""] of text.matchAll(DYNAMIC_MEMBER)) add(path, name);
  for (const [, space = "", path = ""] of text.matchAll(NAMESPACE)) {
    for (const [, name = ""] of text.matchAll(new RegExp(`\\b${space}\\.(\\w+)`, "g"))) add(path, name);
  }
  return ids;
}

/** The names of a list in braces: those of the other file, or those that `renamed` finds. */
function namesIn(list: string, renamed?: RegExp): string[] {
  return list
    .split(",")
    .map((item) => item.trim().replace(/^type /, ""))
    .filter((item) => item !== "")
    .map((item) => renamed?.exec(item)?.[1] ?? item.replace(/(?: as |:).*/s, ""));
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[^]*?\*\/|(?<=^|\s)\/\/.*$/gm, "");
}
