import { statSync } from "node:fs";

const STORES = ["queue", "ledger", "dlq"] as const;
export type StoreName = (typeof STORES)[number];

/**
 * Looks whether the open stores are still where they were: a file that was deleted or moved away under the service
 * takes everything that is written to it, and is lost with the process.
 */
export class StoreFileWatch {
  readonly #paths: Readonly<Record<StoreName, string>>;
  readonly #files: Readonly<Record<StoreName, string | undefined>>;

  /** The stores' files as they are now. */
  constructor(paths: Readonly<Record<StoreName, string>>) {
    this.#paths = paths;
    this.#files = { queue: fileAt(paths.queue), ledger: fileAt(paths.ledger), dlq: fileAt(paths.dlq) };
  }

  /** What is wrong with a store's file, or nothing. */
  problemOf(store: StoreName): string | undefined {
    const path = this.#paths[store];
    if (fileAt(path) === this.#files[store]) return undefined;
    return `${path} was deleted or moved away while it was in use: put it back, or stop and restore all stores from a backup`;
  }

  /** Whether all of them are there. */
  get isWhole(): boolean {
    return STORES.every((store) => this.problemOf(store) === undefined);
  }
}

/** Which file lies at a path. */
function fileAt(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? undefined : `${stat.dev}:${stat.ino}`;
}
