import { isBroken, StoreError } from "../../jobs/stores/store-error.ts";
import { type ReadSource, readSteadily } from "./read-only.ts";

/**
 * An error that names the damaged store. SQLite's own error does not, if several stores are open. Errors of other kinds
 * are returned unchanged. It may read all stores.
 */
export function namedDamage(error: unknown, paths: readonly string[]): unknown {
  if (error instanceof StoreError || !isBroken(error)) return error;
  const damaged = paths.map((path) => ({ path, problem: problemOf(path) })).filter(({ problem }) => problem !== "ok");
  const { path, problem } = damaged[0] ?? { path: paths.join(", "), problem: (error as Error).message };
  const others = damaged.slice(1).map((each) => `; so is ${each.path}`);
  return new StoreError(path, `is damaged (${problem})${others.join("")}; restore all stores from one backup`, {
    cause: error,
  });
}

function problemOf(path: string): string {
  try {
    return readSteadily([path], ([source]) => {
      using open = new DisposableStack();
      const db = open.adopt((source as ReadSource).open(), (opened) => opened.close());
      const [row] = db.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").all();
      return row?.quick_check.split("\n")[0] ?? "the check returned no result";
    });
  } catch (error) {
    return (error as Error).message;
  }
}
