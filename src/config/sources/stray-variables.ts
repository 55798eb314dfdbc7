import { KindGuard, type TSchema } from "@sinclair/typebox";
import { suggest } from "../../std/suggest.ts";
import type { Problem } from "../config-error.ts";
import { isStray, OWN_VARIABLES } from "./own-variables.ts";
import { isTree, type Tree } from "./tree.ts";
import type { Variable } from "./variables.ts";

/** Variables that are named like ours and mean nothing, each with the name that was probably meant. */
export function strayVariables(schema: TSchema, tree: Tree, variables: ReadonlyMap<string, Variable>): Problem[] {
  const known = [...OWN_VARIABLES, ...variablesOf(schema, tree, "FETCHBOX")];
  return [...variables].flatMap(([name, { source }]) => {
    if (!isStray(name)) return [];
    // One underscore in place of two is the common mistake: there the words are right.
    const meant = known.find((each) => plain(each) === plain(name)) ?? suggest(name, known);
    const hint = meant === undefined ? "; keys of the configuration are like FETCHBOX__QUEUE__WORKERS" : "";
    const message = `means nothing${meant === undefined ? hint : `; did you mean ${meant}?`}`;
    return [{ source, key: source.endsWith(name) ? "" : name, message }];
  });
}

function plain(name: string): string {
  return name.toUpperCase().replaceAll(/_+/g, "_");
}

/** The variables of all keys of a schema, those of the tables that the file names included. */
function variablesOf(schema: TSchema, tree: unknown, prefix: string): string[] {
  const below = (name: string) => (isTree(tree) ? tree[name] : undefined);
  if (KindGuard.IsTransform(schema)) return [prefix];
  if (KindGuard.IsObject(schema)) {
    return Object.entries(schema.properties).flatMap(([name, inner]) =>
      variablesOf(inner, below(name), `${prefix}__${name.toUpperCase()}`),
    );
  }
  if (!KindGuard.IsRecord(schema)) return [prefix];
  const [inner] = Object.values(schema.patternProperties);
  if (inner === undefined || !isTree(tree)) return [];
  return Object.keys(tree).flatMap((name) =>
    variablesOf(inner, below(name), `${prefix}__${name.toUpperCase().replaceAll(/[-.]/g, "_")}`),
  );
}
