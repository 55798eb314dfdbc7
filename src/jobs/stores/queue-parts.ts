import type { JobHeader, JobStatus } from "../job.ts";
import type { Acceptor } from "./acceptor.ts";
import type { Cancellations } from "./cancellations.ts";
import type { DeadLetterChanges } from "./dead-letter-changes.ts";
import type { HostBook } from "./host-book.ts";
import type { OrphanRecords } from "./orphan-records.ts";
import type { QueueControl } from "./queue-control.ts";
import type { PoisonTask, RecoveredQueue } from "./recovery.ts";
import type { QueueRetention } from "./retained-stores.ts";
import type { Settlements } from "./settlements.ts";
import type { TaskSource } from "./task-source.ts";

/** The queue, the one truth about jobs and tasks, in parts for its consumers. */
export interface QueueParts {
  readonly acceptor: Acceptor;
  readonly source: TaskSource;
  readonly settlements: Settlements;
  readonly cancellations: Cancellations;
  readonly deadLetters: DeadLetterChanges;
  readonly hosts: HostBook;
  readonly control: QueueControl;
  readonly orphans: OrphanRecords;
  readonly retention: QueueRetention;
  /** Calls `listener` after the commit that ended a job. */
  onFinished(listener: (job: JobHeader, status: JobStatus) => void): void;
  /**
   * Puts back the tasks that were claimed when the last process died. A task that ran at too many crashes fails;
   * `onPoison` is called before. If the storage `storesLate`, uploads under way become orphans. For the start, before
   * the first claim.
   */
  recover(onPoison: (poison: PoisonTask) => Promise<void>, storesLate?: boolean): Promise<RecoveredQueue>;
}
