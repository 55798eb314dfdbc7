import { JOB_STATUSES } from "../jobs/job.ts";
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
const TASK_COUNTS = `(${TASKS_OF_JOB("state = 'completed'")}, ${TASKS_OF_JOB("state = 'failed'")},
  ${TASKS_OF_JOB("state = 'cancelled'")}, ${TASKS_OF_JOB("letter = 1")})`;
const WAITING_OF_LANE = "(SELECT count(*) FROM tasks WHERE lane = lanes.id AND available_at IS NOT NULL)";

/** The rows that `depth` must hold. */
export const DEPTHS = `SELECT s.value AS state, (SELECT count(*) FROM tasks t JOIN jobs j ON j.seq = t.job
  WHERE j.status <> 'staged' AND t.state = s.value) AS tasks FROM json_each('["pending", "running", "retrying"]') s`;

/** The rows that `waits` must hold, by the lanes. */
export const WAITS = `SELECT l.host, sum(l.waiting) AS tasks FROM lanes l JOIN jobs j ON j.seq = l.job
  WHERE j.status <> 'staged' AND l.waiting > 0 GROUP BY l.host`;

/** Statements that recount the counters of queue.db. Each changes only wrong rows. AND can narrow an update. */
export const RECOUNT_JOBS = `UPDATE jobs SET (completed, failed, cancelled, letters) = ${TASK_COUNTS}
  WHERE status <> 'staged' AND pruning = 0 AND (completed, failed, cancelled, letters) IS NOT ${TASK_COUNTS}`;
export const RECOUNT_LANES = `UPDATE lanes SET waiting = ${WAITING_OF_LANE} WHERE waiting <> ${WAITING_OF_LANE}`;
export const RECOUNT_DEPTH = `INSERT INTO depth
  SELECT state, tasks FROM (${DEPTHS}) WHERE (state, tasks) NOT IN (SELECT state, tasks FROM depth)
  ON CONFLICT (state) DO UPDATE SET tasks = excluded.tasks`;
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

/** The rows that `job_counts` of ledger.db must hold. */
export const JOB_COUNTS = `SELECT s.value AS status, (SELECT count(*) FROM ledger.jobs j
  WHERE j.status = s.value AND j.pruning = 0) AS jobs FROM json_each('${JSON.stringify(JOB_STATUSES)}') s`;
/** The same for ledger.db, whose triggers count the jobs. */
export const RECOUNT_JOB_COUNTS = `INSERT INTO ledger.job_counts
  SELECT status, jobs FROM (${JOB_COUNTS}) WHERE (status, jobs) NOT IN (SELECT status, jobs FROM ledger.job_counts)
  ON CONFLICT (status) DO UPDATE SET jobs = excluded.jobs`;

/** The rows that `groups` of dlq.db must hold. */
export function deadLetterGroups(dlq: "" | "dlq."): string {
  return GROUPINGS.map(
    (grouping) =>
      `SELECT '${grouping}' AS grouping, ${GROUP_KEYS[grouping]} AS key, count(*) AS letters FROM ${dlq}dead_letters GROUP BY 2`,
  ).join(" UNION ALL ");
}
