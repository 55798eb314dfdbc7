import dlqSchema from "../migrations/dlq-001.sql" with { type: "text" };
import ledgerSchema from "../migrations/ledger-001.sql" with { type: "text" };
import ledgerCodings from "../migrations/ledger-002.sql" with { type: "text" };
import ledgerIntegrity from "../migrations/ledger-003.sql" with { type: "text" };
import ledgerKeys from "../migrations/ledger-004.sql" with { type: "text" };
import ledgerJobCounts from "../migrations/ledger-005.sql" with { type: "text" };
import queueSchema from "../migrations/queue-001.sql" with { type: "text" };
import queueOrphans from "../migrations/queue-002.sql" with { type: "text" };
import queueCrashTimes from "../migrations/queue-003.sql" with { type: "text" };
import queueStarters from "../migrations/queue-004.sql" with { type: "text" };

/** The SQL scripts of each store, in order. The schema version of a store is the number of scripts that ran. */
export const MIGRATIONS = {
  queue: [queueSchema, queueOrphans, queueCrashTimes, queueStarters],
  ledger: [ledgerSchema, ledgerCodings, ledgerIntegrity, ledgerKeys, ledgerJobCounts],
  dlq: [dlqSchema],
} as const satisfies Record<string, readonly string[]>;
