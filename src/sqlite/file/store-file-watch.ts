import { statSync } from "node:fs";
import { STORE_NAMES, type StoreName } from "../../jobs/stores/service-stores.ts";

/**
 * Checks whether the files of the open stores are still at their paths. A deleted or moved file still accepts writes,
 * and they are lost with the process.
 */
export class StoreFileWatch {
  readonly #paths: Readonly<Record<StoreName, string>>;
  readonly #files: Readonly<Record<StoreName, string | undefined>>;

  /** Remembers the files as they are now. */
  constructor(paths: Readonly<Record<StoreName, string>>) {
    this.#paths = paths;
    this.#files = { queue: fileAt(paths.queue), ledger: fileAt(paths.ledger), dlq: fileAt(paths.dlq) };
  }

  /** The problem with a store's file; `undefined` if it is at its path. */
  problemOf(store: StoreName): string | undefined {
    const path = this.#paths[store];
    if (fileAt(path) === this.#files[store]) return undefined;
    return `${path} was deleted or moved away while it was in use: put it back, or stop and restore all stores from a backup`;
  }

  /** Whether all files are at their paths. */
  get isWhole(): boolean {
    return STORE_NAMES.every((store) => this.problemOf(store) === undefined);
  }
}

/** The identity of the file at a path. */
function fileAt(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? undefined : `${stat.dev}:${stat.ino}`;
}
