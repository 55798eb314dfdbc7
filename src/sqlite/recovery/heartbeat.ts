import type { Database } from "bun:sqlite";
import { resumeReplaySchedule } from "../dead-letters/replay-schedule.ts";
import { readMeta, writeMeta } from "../file/meta.ts";
import type { Changes } from "../group-commit.ts";
import { isPaused, readPausedAt, shiftWaits } from "../queue/pause.ts";
import { NEXT_DUE, type QueueContext } from "../queue/queue-context.ts";

/** Shortest time between two notes, in milliseconds. */
const NOTE_EVERY_MS = 1000;

/** Notes the steady time in some commits, as a sign of life of the process. Runs inside a transaction. */
export class Heartbeat {
  #noted = Number.NEGATIVE_INFINITY;

  note({ db, clock }: QueueContext, changes: Changes): void {
    const now = clock.steady();
    if (now - this.#noted < NOTE_EVERY_MS) return;
    db.query<never, [string]>("UPDATE meta SET value = ? WHERE name = 'last_seen'").run(String(now));
    changes.after("cache", () => {
      this.#noted = now;
    });
  }
}

/**
 * Moves the waits of the last process to this one's clock. For the start, inside a transaction. The time without a
 * process does not count for tasks that wait for a host or the storage. If the clock was set back meanwhile, no task
 * waits longer than it was scheduled to.
 */
export function rebaseWaits(context: QueueContext): void {
  const { db, clock } = context;
  const lastSeen = readLastSeen(db);
  if (lastSeen === 0) return;
  const now = clock.steady();
  const gapMs = now - lastSeen;
  // A pause continues: its end moves the waits.
  const isStillPaused = isPaused(context) && gapMs >= 0;
  if (!isStillPaused) shiftWaits(context, gapMs);
  if (!isStillPaused && gapMs > 0) resumeReplaySchedule(context, lastSeen);
  if (gapMs >= 0) return;
  writeMeta(db, "paused_at", String(readPausedAt(context) + gapMs));
  db.query<never, [number, number]>(
    "UPDATE tasks SET available_at = max(0, available_at + ?) WHERE available_at > ?",
  ).run(gapMs, now);
  db.query<never, []>(`UPDATE lanes SET next_due = ${NEXT_DUE}`).run();
  db.query<never, [number]>(
    "UPDATE hosts SET closed_until = closed_until + ?1, breaker_until = breaker_until + ?1, slowed_at = slowed_at + ?1",
  ).run(gapMs);
}

/** The last heartbeat of an earlier process, in milliseconds since the epoch; 0 if there was none. */
function readLastSeen(db: Database): number {
  return Number(readMeta(db, "last_seen"));
}
