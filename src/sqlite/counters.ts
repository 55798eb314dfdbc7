import { GROUPINGS } from "../jobs/stores/dead-letter-reads.ts";
import { GROUP_KEYS } from "./dead-letters/dead-letter-groups.ts";

/**
 * Derived counters of the stores, which spare a count of rows. The rows are the truth: a counter that cannot be right
 * is recounted and reported. It never fails a commit.
 */
export const COUNTERS = ["jobs", "lanes", "depth", "host_waits", "ledger_jobs", "dead_letters"] as const;
export type Counter = (typeof COUNTERS)[number];

/** Called after the commit that recounted a wrong counter. */
export type OnDrift = (counter: Counter) => void;

const TASKS_OF_JOB = (what: string) => `(SELECT count(*) FROM tasks
  WHERE id BETWEEN jobs.first_task AND jobs.last_task AND tasks.job = jobs.seq AND ${what})`;
const JOB_COUNTS = `(${TASKS_OF_JOB("state = 'completed'")}, ${TASKS_OF_JOB("state = 'failed'")},
  ${TASKS_OF_JOB("state = 'cancelled'")}, ${TASKS_OF_JOB("letter = 1")})`;
const WAITING_OF_LANE = "(SELECT count(*) FROM tasks WHERE lane = lanes.id AND available_at IS NOT NULL)";
const TASKS_IN_STATE = `(SELECT count(*) FROM tasks t JOIN jobs j ON j.seq = t.job WHERE j.status <> 'staged'
  AND t.state = depth.state)`;

/** The rows that `waits` must hold, by the lanes. */
export const WAITS = `SELECT l.host, sum(l.waiting) AS tasks FROM lanes l JOIN jobs j ON j.seq = l.job
  WHERE j.status <> 'staged' AND l.waiting > 0 GROUP BY l.host`;

/** Statements that recount the counters of queue.db. Each changes only wrong rows, and AND can narrow it. */
export const RECOUNT_JOBS = `UPDATE jobs SET (completed, failed, cancelled, letters) = ${JOB_COUNTS}
  WHERE status <> 'staged' AND pruning = 0 AND (completed, failed, cancelled, letters) IS NOT ${JOB_COUNTS}`;
export const RECOUNT_LANES = `UPDATE lanes SET waiting = ${WAITING_OF_LANE} WHERE waiting <> ${WAITING_OF_LANE}`;
export const RECOUNT_DEPTH = `UPDATE depth SET tasks = ${TASKS_IN_STATE} WHERE tasks <> ${TASKS_IN_STATE}`;
export const DROP_WAITS = `DELETE FROM waits WHERE host NOT IN (SELECT host FROM (${WAITS}))`;
export const RECOUNT_WAITS = `INSERT INTO waits
  SELECT host, tasks FROM (${WAITS}) WHERE (host, tasks) NOT IN (SELECT host, tasks FROM waits)
  ON CONFLICT (host) DO UPDATE SET tasks = excluded.tasks`;

/** The same for dlq.db, which is attached as `dlq.` or open by itself (empty prefix). */
export const recountSize = (dlq: "" | "dlq.") =>
  `UPDATE ${dlq}size SET letters = (SELECT count(*) FROM ${dlq}dead_letters)
   WHERE letters <> (SELECT count(*) FROM ${dlq}dead_letters)`;
export const dropGroups = (dlq: "" | "dlq.") =>
  `DELETE FROM ${dlq}groups WHERE (grouping, key) NOT IN (SELECT grouping, key FROM (${deadLetterGroups(dlq)}))`;
export const recountGroups = (dlq: "" | "dlq.") =>
  `INSERT INTO ${dlq}groups SELECT grouping, key, letters FROM (${deadLetterGroups(dlq)})
   WHERE (grouping, key, letters) NOT IN (SELECT grouping, key, letters FROM ${dlq}groups)
   ON CONFLICT (grouping, key) DO UPDATE SET letters = excluded.letters`;

/** The same for ledger.db, whose triggers count the jobs. */
export const JOBS_IN_STATUS = `(SELECT count(*) FROM ledger.jobs j WHERE j.status = c.status AND j.pruning = 0)`;
export const RECOUNT_JOB_COUNTS = `UPDATE ledger.job_counts AS c SET jobs = ${JOBS_IN_STATUS} WHERE jobs <> ${JOBS_IN_STATUS}`;

/** The rows that `groups` of dlq.db must hold. */
export function deadLetterGroups(dlq: "" | "dlq."): string {
  return GROUPINGS.map(
    (grouping) =>
      `SELECT '${grouping}' AS grouping, ${GROUP_KEYS[grouping]} AS key, count(*) AS letters FROM ${dlq}dead_letters GROUP BY 2`,
  ).join(" UNION ALL ");
}
