import type { DeadLetterFilter } from "../dead-letters.ts";
import type { QueueContext } from "./context.ts";

export const OPERATION_KINDS = ["replay", "give_up"] as const;
export type OperationKind = (typeof OPERATION_KINDS)[number];
export const OPERATION_STATES = ["running", "completed", "stopped", "failed"] as const;
export type OperationState = (typeof OPERATION_STATES)[number];

/** What an operator wants to be otherwise when a task is tried again. */
export interface Overrides {
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly proxyPool?: string | undefined;
}

export interface NewOperation {
  readonly kind: OperationKind;
  readonly filter: DeadLetterFilter;
  readonly overrides: Overrides;
  /** Tasks that become due per second; absent: all at once. */
  readonly ratePerSecond: number | undefined;
  /** Letters that match now. */
  readonly matched: number;
}

/** Something that is done to all dead letters of a filter, downwards by their task ids. */
export interface LetterOperation extends NewOperation {
  readonly id: number;
  readonly state: OperationState;
  /** Letters that it came to. */
  readonly met: number;
  /** Those of them that it changed; the others were none any more. */
  readonly changed: number;
  /** From this task id on all is done. */
  readonly beforeTask: number;
  /** Where the rate counts from, by the steady clock. */
  readonly dueFrom: number;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly finishedAt: number | null;
  readonly error: string | null;
}

/** How far an operation came with one batch; written in the batch's commit. */
export interface OperationStep {
  readonly id: number;
  readonly met: number;
  readonly beforeTask: number;
}

/** So many that ended are remembered. */
const ENDED_KEPT = 100;

interface Row extends Omit<LetterOperation, "filter" | "overrides" | "ratePerSecond"> {
  readonly filter: string;
  readonly overrides: string;
  readonly ratePerSecond: number | null;
}

const COLUMNS = `id, kind, state, filter, overrides, rate_per_second AS ratePerSecond, matched, met, changed,
  before_task AS beforeTask, due_from AS dueFrom, started_at AS startedAt, finished_at AS finishedAt, error`;

/** Runs inside a transaction. */
export function beginOperation({ db, clock }: QueueContext, operation: NewOperation): LetterOperation {
  db.query<never, [number]>(
    `DELETE FROM letter_operations WHERE state <> 'running' AND id <=
       (SELECT id FROM letter_operations WHERE state <> 'running' ORDER BY id DESC LIMIT 1 OFFSET ?)`,
  ).run(ENDED_KEPT - 1);
  const { kind, filter, overrides, ratePerSecond, matched } = operation;
  const row = db
    .query<Row, [string, string, string, number | null, number, number, number, number]>(
      `INSERT INTO letter_operations (kind, state, filter, overrides, rate_per_second, matched, before_task, due_from,
         started_at) VALUES (?, 'running', ?, ?, ?, ?, ?, ?, ?) RETURNING ${COLUMNS}`,
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
    );
  if (row === null) throw new Error("an operation was not inserted");
  return operationOf(row);
}

/** Runs inside the transaction of what it tells of. */
export function advanceOperation({ db }: QueueContext, { id, met, beforeTask }: OperationStep, changed: number): void {
  db.query<never, [number, number, number, number]>(
    "UPDATE letter_operations SET met = met + ?, changed = changed + ?, before_task = ? WHERE id = ?",
  ).run(met, changed, beforeTask, id);
}

/** Ends one that runs; one that has ended stays as it is. Runs inside a transaction. */
export function endOperation(
  { db, clock }: QueueContext,
  id: number,
  state: Exclude<OperationState, "running">,
  error: string | undefined,
): void {
  db.query<never, [string, number, string | null, number]>(
    `UPDATE letter_operations SET state = ?, finished_at = ?, error = ?, overrides = '{}'
     WHERE id = ? AND state = 'running'`,
  ).run(state, clock.now(), error ?? null, id);
}

export function readOperation({ db }: QueueContext, id: number): LetterOperation | undefined {
  const row = db.query<Row, [number]>(`SELECT ${COLUMNS} FROM letter_operations WHERE id = ?`).get(id);
  return row === null ? undefined : operationOf(row);
}

/** All that are remembered, the latest first. */
export function readOperations({ db }: QueueContext): LetterOperation[] {
  return db.query<Row, []>(`SELECT ${COLUMNS} FROM letter_operations ORDER BY id DESC`).all().map(operationOf);
}

function operationOf(row: Row): LetterOperation {
  return {
    ...row,
    filter: JSON.parse(row.filter) as DeadLetterFilter,
    overrides: JSON.parse(row.overrides) as Overrides,
    ratePerSecond: row.ratePerSecond ?? undefined,
  };
}
