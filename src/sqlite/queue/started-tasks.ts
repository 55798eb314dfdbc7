import type { Database } from "bun:sqlite";
import type { Changes } from "../group-commit.ts";

/** Ids of the claimed tasks that workers have begun with, as of the last commit. */
export const STARTED = "SELECT value FROM json_each((SELECT value FROM meta WHERE name = 'begun'))";

/**
 * The tasks that workers have begun with: a crash counts against them, and not against those that wait in memory. There
 * are as many as workers, so a commit writes them as a whole.
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

  /** What an earlier process noted is done with: the next commit writes what there is now. */
  supersede(): void {
    this.#isNoted = false;
  }

  /** Runs inside a transaction; one that fails has noted nothing. */
  note({ db }: { readonly db: Database }, changes: Changes): void {
    if (this.#isNoted) return;
    db.query<never, [string]>("UPDATE meta SET value = ? WHERE name = 'begun'").run(JSON.stringify([...this.#tasks]));
    // Before other effects, which may let a task start or end.
    changes.after("cache", () => {
      this.#isNoted = true;
    });
  }
}
