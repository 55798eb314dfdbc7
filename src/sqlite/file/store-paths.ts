import { join } from "node:path";

/** The files of the three stores. */
export interface StorePaths {
  readonly queue: string;
  readonly ledger: string;
  readonly dlq: string;
}

/** The files in the folders of the configuration. */
export function storePaths(folders: { queuePath: string; ledgerPath: string; dlqPath: string }): StorePaths {
  return {
    queue: join(folders.queuePath, "queue.db"),
    ledger: join(folders.ledgerPath, "ledger.db"),
    dlq: join(folders.dlqPath, "dlq.db"),
  };
}
