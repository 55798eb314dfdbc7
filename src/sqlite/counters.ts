import { GROUPINGS } from "../jobs/stores/dead-letter-reads.ts";
import { GROUP_KEYS } from "./dead-letters/dead-letter-groups.ts";

/**
 * Counters that are kept so that nobody has to count. What they count are rows, and those are the truth: a counter that
 * cannot be right is counted anew and reported. It never fails a commit.
 */
export type Counter = "jobs" | "lanes" | "depth" | "host_waits" | "ledger_jobs" | "dead_letters";

/** Told, once it is committed, that a counter was wrong and has been counted anew. */
export type OnDrift = (counter: Counter) => void;

const TASKS_OF_JOB = (what: string) => `(SELECT count(*) FROM tasks
  WHERE id BETWEEN jobs.first_task AND jobs.last_task AND tasks.job = jobs.seq AND ${what})`;
const JOB_COUNTS = `(${TASKS_OF_JOB("state = 'completed'")}, ${TASKS_OF_JOB("state = 'failed'")},
  ${TASKS_OF_JOB("state = 'cancelled'")}, ${TASKS_OF_JOB("letter = 1")})`;
const WAITING_OF_LANE = "(SELECT count(*) FROM tasks WHERE lane = lanes.id AND available_at IS NOT NULL)";
const TASKS_IN_STATE = `(SELECT count(*) FROM tasks t JOIN jobs j ON j.seq = t.job WHERE j.status <> 'staged'
  AND t.state = depth.state)`;

/** What `waits` must say, if the lanes are right. */
export const WAITS = `SELECT l.host, sum(l.waiting) AS tasks FROM lanes l JOIN jobs j ON j.seq = l.job
  WHERE j.status <> 'staged' AND l.waiting > 0 GROUP BY l.host`;

/** Statements that count the counters of queue.db anew; each changes only what is wrong, and can be narrowed by AND. */
export const RECOUNT_JOBS = `UPDATE jobs SET (completed, failed, cancelled, letters) = ${JOB_COUNTS}
  WHERE status <> 'staged' AND pruning = 0 AND (completed, failed, cancelled, letters) IS NOT ${JOB_COUNTS}`;
export const RECOUNT_LANES = `UPDATE lanes SET waiting = ${WAITING_OF_LANE} WHERE waiting <> ${WAITING_OF_LANE}`;
export const RECOUNT_DEPTH = `UPDATE depth SET tasks = ${TASKS_IN_STATE} WHERE tasks <> ${TASKS_IN_STATE}`;
export const DROP_WAITS = `DELETE FROM waits WHERE host NOT IN (SELECT host FROM (${WAITS}))`;
export const RECOUNT_WAITS = `INSERT INTO waits
  SELECT host, tasks FROM (${WAITS}) WHERE (host, tasks) NOT IN (SELECT host, tasks FROM waits)
  ON CONFLICT (host) DO UPDATE SET tasks = excluded.tasks`;

/** The same for dlq.db, which is attached under a name (`dlq.`) or open by itself (``). */
export const recountSize = (dlq: "" | "dlq.") =>
  `UPDATE ${dlq}size SET letters = (SELECT count(*) FROM ${dlq}dead_letters)
   WHERE letters <> (SELECT count(*) FROM ${dlq}dead_letters)`;
export const dropGroups = (dlq: "" | "dlq.") =>
  `DELETE FROM ${dlq}groups WHERE (grouping, key) NOT IN (SELECT grouping, key FROM (${letterGroups(dlq)}))`;
export const recountGroups = (dlq: "" | "dlq.") =>
  `INSERT INTO ${dlq}groups SELECT grouping, key, letters FROM (${letterGroups(dlq)})
   WHERE (grouping, key, letters) NOT IN (SELECT grouping, key, letters FROM ${dlq}groups)
   ON CONFLICT (grouping, key) DO UPDATE SET letters = excluded.letters`;

/** What `groups` of dlq.db must say. */
export function letterGroups(dlq: "" | "dlq."): string {
  return GROUPINGS.map(
    (grouping) =>
      `SELECT '${grouping}' AS grouping, ${GROUP_KEYS[grouping]} AS key, count(*) AS letters FROM ${dlq}dead_letters GROUP BY 2`,
  ).join(" UNION ALL ");
}
