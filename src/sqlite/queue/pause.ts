import type { Pause } from "../../jobs/stores/queue-control.ts";
import { resumeReplaySchedule } from "../dead-letters/replay-schedule.ts";
import { readMeta, writeMeta } from "../file/meta.ts";
import type { QueueContext } from "./queue-context.ts";

/** The current pause; `undefined` while the queue is not paused. */
export function readPause(context: Pick<QueueContext, "db">): Pause | undefined {
  if (!isPaused(context)) return undefined;
  const by = readMeta(context.db, "paused_by");
  // A version without `paused_since` noted the steady time alone, which hardly differs.
  return { by: by === "" ? null : by, at: Number(readMeta(context.db, "paused_since")) || readPausedAt(context) };
}

export function isPaused({ db }: Pick<QueueContext, "db">): boolean {
  return readMeta(db, "paused") === "1";
}

/**
 * Starts or ends a pause. Returns the length of the pause that it ends, in milliseconds. No attempt was possible during
 * the pause, so every limit of a wait moves by its length. Runs inside a transaction.
 */
export function writePaused(context: QueueContext, paused: boolean, by: string | null): number {
  if (paused === isPaused(context)) return 0;
  const { db, clock } = context;
  const now = clock.steady();
  writeMeta(db, "paused", paused ? "1" : "0");
  if (paused) {
    writeMeta(db, "paused_at", String(now));
    writeMeta(db, "paused_since", String(clock.now()));
    writeMeta(db, "paused_by", by ?? "");
    return 0;
  }
  const pausedAt = readPausedAt(context);
  const pausedMs = Math.max(0, now - pausedAt);
  writeMeta(db, "resumed_at", String(now));
  resumeReplaySchedule(context, pausedAt);
  shiftWaits(context, pausedMs);
  return pausedMs;
}

/** Moves the start of every wait of tasks and hosts by `ms`. Runs inside a transaction. */
export function shiftWaits({ db }: QueueContext, ms: number): void {
  db.query<never, [number]>("UPDATE tasks SET waiting_since = waiting_since + ? WHERE waiting_since IS NOT NULL").run(
    ms,
  );
  db.query<never, [number]>("UPDATE hosts SET unavailable_since = unavailable_since + ?").run(ms);
}

/** The steady time `ms` ago; the last pause does not count. */
export function timeBefore(context: QueueContext, ms: number): number {
  const before = context.clock.steady() - ms;
  const [pausedAt, resumedAt] = [readPausedAt(context), Number(readMeta(context.db, "resumed_at"))];
  return before >= resumedAt || resumedAt < pausedAt ? before : before - (resumedAt - pausedAt);
}

export function readPausedAt({ db }: Pick<QueueContext, "db">): number {
  return Number(readMeta(db, "paused_at"));
}
