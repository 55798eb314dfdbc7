import type { Database } from "bun:sqlite";
import type { Changes } from "../group-commit.ts";

/** Ids of the claimed tasks that workers have started, at the last commit. */
export const STARTED = "SELECT value FROM json_each((SELECT value FROM meta WHERE name = 'begun'))";

/**
 * The tasks that workers have started: a crash counts against them, and not against those that wait in memory. There
 * are at most as many as workers, so a commit writes the whole list.
 */
export class StartedTasks {
  readonly #tasks = new Set<number>();
  #isNoted = true;

  get size(): number {
    return this.#tasks.size;
  }

  add(task: number): void {
    this.#tasks.add(task);
    this.#isNoted = false;
  }

  delete(task: number): void {
    if (this.#tasks.delete(task)) this.#isNoted = false;
  }

  /** Makes the next commit replace the list of an earlier process. */
  supersede(): void {
    this.#isNoted = false;
  }

  /** Writes the list if it has changed. Runs inside a transaction. */
  note({ db }: { readonly db: Database }, changes: Changes): void {
    if (this.#isNoted) return;
    db.query<never, [string]>("UPDATE meta SET value = ? WHERE name = 'begun'").run(JSON.stringify([...this.#tasks]));
    // Before other effects, which may let a task start or end.
    changes.after("cache", () => {
      this.#isNoted = true;
    });
  }
}
