import { describe } from "bun:test";
import { describeAcceptor } from "./acceptor.ts";
import type { OpenBackend } from "./backend.ts";
import { describeCancellations } from "./cancellations.ts";
import { describeDeadLetterChanges } from "./dead-letter-changes.ts";
import { describeDeadLetterReads } from "./dead-letter-reads.ts";
import { describeHostBook } from "./host-book.ts";
import { describeLedgerReads } from "./ledger-reads.ts";
import { describeOrphanRecords } from "./orphan-records.ts";
import { describeQueueControl } from "./queue-control.ts";
import { describeRecovery } from "./recovery.ts";
import { describeRetention } from "./retention.ts";
import { describeServiceStores } from "./service-stores.ts";
import { describeSettlements } from "./settlements.ts";
import { describeStagedJobs } from "./staged-jobs.ts";
import { describeTaskSource } from "./task-source.ts";

/** The promises of src/jobs/stores, as facts. */
export function describeStores(name: string, open: OpenBackend): void {
  describe(name, () => {
    describeAcceptor(open);
    describeStagedJobs(open);
    describeTaskSource(open);
    describeSettlements(open);
    describeCancellations(open);
    describeDeadLetterChanges(open);
    describeHostBook(open);
    describeOrphanRecords(open);
    describeQueueControl(open);
    describeLedgerReads(open);
    describeDeadLetterReads(open);
    describeRetention(open);
    describeRecovery(open);
    describeServiceStores(open);
  });
}
