import {
  type BulkOperation,
  type BulkOperationState,
  type NewBulkOperation,
  type OperationStep,
  type Overrides,
} from "../../jobs/stores/dead-letter-changes.ts";
import type { DeadLetterFilter } from "../../jobs/stores/dead-letter-reads.ts";
import type { QueueContext } from "../queue/queue-context.ts";

/** Finished operations that are kept. */
const ENDED_KEPT = 100;

interface Row extends Omit<BulkOperation, "filter" | "overrides" | "ratePerSecond"> {
  readonly filter: string;
  readonly overrides: string;
  readonly ratePerSecond: number | null;
}

const COLUMNS = `id, kind, state, filter, overrides, rate_per_second AS ratePerSecond, matched, met AS processed, changed,
  before_task AS beforeTask, due_from AS dueFrom, started_at AS startedAt, started_by AS startedBy, finished_at AS finishedAt, error`;

/** Runs inside a transaction. */
export function beginOperation({ db, clock }: QueueContext, operation: NewBulkOperation): BulkOperation {
  db.query<never, [number]>(
    `DELETE FROM letter_operations WHERE state <> 'running' AND id <=
       (SELECT id FROM letter_operations WHERE state <> 'running' ORDER BY id DESC LIMIT 1 OFFSET ?)`,
  ).run(ENDED_KEPT - 1);
  const { kind, filter, overrides, ratePerSecond, matched, startedBy } = operation;
  const row = db
    .query<Row, [string, string, string, number | null, number, number, number, number, string | null]>(
      `INSERT INTO letter_operations (kind, state, filter, overrides, rate_per_second, matched, before_task, due_from,
         started_at, started_by) VALUES (?, 'running', ?, ?, ?, ?, ?, ?, ?, ?) RETURNING ${COLUMNS}`,
    )
    .get(
      kind,
      JSON.stringify(filter),
      JSON.stringify(overrides),
      ratePerSecond ?? null,
      matched,
      Number.MAX_SAFE_INTEGER,
      clock.steady(),
      clock.now(),
      startedBy,
    );
  if (row === null) throw new Error("an operation was not inserted");
  return operationOf(row);
}

/** Records a step of an operation, inside the transaction of its changes. */
export function advanceOperation(
  { db }: QueueContext,
  { id, processed, beforeTask, lateMs }: OperationStep,
  changed: number,
): void {
  db.query<never, [number, number, number, number, number]>(
    `UPDATE letter_operations SET met = met + ?, changed = changed + ?, before_task = ?, due_from = due_from + ?
     WHERE id = ?`,
  ).run(processed, changed, beforeTask, lateMs, id);
}

/** Ends a running operation; an ended one stays as it is. Runs inside a transaction. */
export function endOperation(
  { db, clock }: QueueContext,
  id: number,
  state: Exclude<BulkOperationState, "running">,
  error: string | undefined,
): void {
  db.query<never, [string, number, string | null, number]>(
    `UPDATE letter_operations SET state = ?, finished_at = ?, error = ?, overrides = '{}'
     WHERE id = ? AND state = 'running'`,
  ).run(state, clock.now(), error ?? null, id);
}

export function readOperation({ db }: QueueContext, id: number): BulkOperation | undefined {
  const row = db.query<Row, [number]>(`SELECT ${COLUMNS} FROM letter_operations WHERE id = ?`).get(id);
  return row === null ? undefined : operationOf(row);
}

/** All kept operations, the latest first. */
export function readOperations({ db }: QueueContext): BulkOperation[] {
  return db.query<Row, []>(`SELECT ${COLUMNS} FROM letter_operations ORDER BY id DESC`).all().map(operationOf);
}

function operationOf(row: Row): BulkOperation {
  return {
    ...row,
    filter: JSON.parse(row.filter) as DeadLetterFilter,
    overrides: JSON.parse(row.overrides) as Overrides,
    ratePerSecond: row.ratePerSecond ?? undefined,
  };
}
