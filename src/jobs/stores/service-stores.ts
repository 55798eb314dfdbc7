import type { PeriodicTask } from "../../std/clock.ts";
import type { DeadLetterReads } from "./dead-letter-reads.ts";
import type { LedgerReads } from "./ledger-reads.ts";
import type { QueueParts } from "./queue-parts.ts";
import type { DeadLetterRetention, LedgerRetention } from "./retained-stores.ts";

/** The stores by what they hold: tasks, the history of jobs, dead letters. */
export const STORE_NAMES = ["queue", "ledger", "dlq"] as const;

export type StoreName = (typeof STORE_NAMES)[number];

/** Why the stores take no job now. */
export interface StoreRefusal {
  readonly isDiskFull: boolean;
  readonly message: string;
  readonly cause?: unknown;
}

/** All stores of one service, as a backend offers them. A backend opens them by a function of its own. */
export interface Stores {
  /** The id of the installation, which outlives the process. */
  readonly installation: string;
  readonly queue: QueueParts;
  readonly ledger: LedgerReads & LedgerRetention;
  readonly deadLetters: DeadLetterReads & DeadLetterRetention;
  /** Work that the stores need while the service runs. */
  readonly periodicTasks: readonly PeriodicTask[];
  /** Why a store cannot be relied on, beside the errors of its calls; `undefined` if all is well. */
  problemOf(store: StoreName): string | undefined;
  /** Why a job that is accepted now could be lost or could not be read; `undefined` while the stores take jobs. */
  refusal(): StoreRefusal | undefined;
  /**
   * Completes an opening that the disk had no room for, and ends a `hold`.
   * @throws the error of a store; a full disk may have room later
   */
  catchUp(): void | Promise<void>;
  /** Refuses every change with this error, until `catchUp` succeeds. */
  hold(error: unknown): void;
  /** Writes and removes about as many bytes as a job, to check for room. @throws the error of the store */
  tryWrite(): Promise<void>;
  /** Makes durable what the ledger and the dead letters took in. False if one of them cannot be written now. */
  makeDurable(): Promise<boolean>;
  /** Notes at once that a signal ends the process: its end counts as a crash against no task. */
  abandon(): void;
  /** Commits waiting changes, and brings the other stores up to date with them. For an orderly end, before `close`. */
  finish(): void | Promise<void>;
  close(): void | Promise<void>;
}
