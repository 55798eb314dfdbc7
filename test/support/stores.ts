import { Database, type SQLQueryBindings } from "bun:sqlite";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Counter } from "../../src/sqlite/counters.ts";
import type { Projection } from "../../src/sqlite/outbox.ts";
import { openStores, type SqliteStores } from "../../src/sqlite/stores.ts";
import { FakeClock, turn } from "./clock.ts";
import { makeTemporaryFolder } from "./temporary-folder.ts";

export type StoreName = "queue" | "ledger" | "dlq";

/** The three stores in one temporary folder, which goes with them. */
export class TestStores implements AsyncDisposable {
  readonly clock: FakeClock;
  /** What projections could not take. */
  readonly lags: { readonly projection: Projection; readonly error: unknown }[] = [];
  /** Counters that were wrong, and were counted anew. */
  readonly drifts: Counter[] = [];
  readonly #isUnsafe: boolean;
  #folder: string;
  #stores: SqliteStores | undefined;

  constructor(folder: string, clock: FakeClock, isUnsafe = false) {
    this.#folder = folder;
    this.clock = clock;
    this.#isUnsafe = isUnsafe;
    this.open();
  }

  get folder(): string {
    return this.#folder;
  }

  get stores(): SqliteStores {
    if (this.#stores === undefined) throw new Error("the stores are closed");
    return this.#stores;
  }

  get queue(): SqliteStores["queue"] {
    return this.stores.queue;
  }

  path(store: StoreName): string {
    return join(this.#folder, `${store}.db`);
  }

  /** @throws what `openStores` throws */
  open(): void {
    this.clock.restart();
    this.#stores = openStores({
      queuePath: this.#folder,
      ledgerPath: this.#folder,
      dlqPath: this.#folder,
      clock: this.clock,
      onLag: (projection, error) => this.lags.push({ projection, error }),
      onDrift: (counter) => this.drifts.push(counter),
      isUnsafe: this.#isUnsafe,
    });
  }

  close(): void {
    this.#stores?.close();
    this.#stores = undefined;
  }

  reopen(): void {
    this.close();
    this.open();
  }

  /** Goes on with the files as a SIGKILL would leave them now; what is gathering for a commit is lost. */
  crash(): void {
    const copy = makeFolder();
    cpSync(this.#folder, copy, { recursive: true });
    this.close();
    rmSync(this.#folder, { recursive: true });
    this.#folder = copy;
    this.open();
  }

  /** Commits what gathers, waits for it, and brings it to the projections. */
  async now<T>(work: Promise<T>): Promise<T> {
    this.queue.flush();
    const result = await work;
    this.stores.outbox.deliver();
    return result;
  }

  /** Rows as another process would see them. */
  read<T>(store: StoreName, sql: string, ...values: SQLQueryBindings[]): T[] {
    return this.#with(store, { readonly: true }, (db) => db.query<T, SQLQueryBindings[]>(sql).all(...values));
  }

  /** A reader at another connection, who keeps a checkpoint from getting past what it sees. */
  pin(store: StoreName): Disposable {
    const db = new Database(this.path(store), { readonly: true });
    db.run("BEGIN");
    db.query("SELECT count(*) FROM meta").get();
    return { [Symbol.dispose]: () => db.close() };
  }

  /** Changes a store behind the service's back. */
  tamper(store: StoreName, sql: string): void {
    this.#with(store, { readwrite: true }, (db) => db.run(sql));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    rmSync(this.#folder, { recursive: true, force: true });
    return Promise.resolve();
  }

  #with<T>(store: StoreName, options: ConstructorParameters<typeof Database>[1], work: (db: Database) => T): T {
    const db = new Database(this.path(store), options);
    try {
      return work(db);
    } finally {
      db.close();
    }
  }
}

/** `isUnsafe`: no commit waits for the disk. A killed process loses nothing by that, as the kernel has the writes. */
export function openTestStores(clock = new FakeClock(), isUnsafe = false): TestStores {
  return new TestStores(makeFolder(), clock, isUnsafe);
}

export function makeFolder(): string {
  return makeTemporaryFolder("stores");
}

/** How many rows a table of queue.db had, each time that it had changed, until some work was done. */
export async function countedUntil(
  stores: TestStores,
  table: "tasks" | "lanes",
  work: Promise<unknown>,
): Promise<number[]> {
  const counts: number[] = [];
  const count = () => {
    const rows = stores.read<{ n: number }>("queue", `SELECT count(*) AS n FROM ${table}`)[0]?.n ?? 0;
    if (counts.at(-1) !== rows) counts.push(rows);
  };
  let isDone = false;
  void work.finally(() => {
    isDone = true;
  });
  while (!isDone) {
    count();
    await turn();
  }
  await work;
  count();
  return counts;
}
