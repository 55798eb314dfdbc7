import { deadLetterGroups, JOB_COUNTS } from "../sqlite/counters.ts";
import { type SqlCheck, wrongCounters } from "./sql-check.ts";

const KNOWN_JOBS = "SELECT * FROM main.jobs WHERE status <> 'staged' AND pruning = 0";

/** Rules for ledger.db and dlq.db: they agree with queue.db and with themselves. */
export const PROJECTION_CHECKS: readonly SqlCheck[] = [
  {
    rule: "a job is in the ledger",
    isLoss: true,
    sql: `SELECT format('job %s is not in the ledger', q.job_id) AS message
      FROM (${KNOWN_JOBS}) q LEFT JOIN ledger.jobs l ON l.seq = q.seq AND l.job_id = q.job_id WHERE l.seq IS NULL`,
  },
  {
    rule: "a job is in the ledger as it is in the queue",
    sql: `SELECT format('job %s is %s with %d/%d/%d of %d in the queue, %s with %d/%d/%d of %d in the ledger', q.job_id,
        q.status, q.completed, q.failed, q.cancelled, q.total, l.status, l.completed, l.failed, l.cancelled, l.total)
        AS message
      FROM (${KNOWN_JOBS}) q JOIN ledger.jobs l ON l.seq = q.seq
      WHERE (l.job_id, l.status, l.total, l.completed, l.failed, l.cancelled) IS NOT
        (q.job_id, q.status, q.total, q.completed, q.failed, q.cancelled)`,
  },
  {
    rule: "a job at work is in the queue",
    isLoss: true,
    sql: `SELECT format('job %s is %s in the ledger, but not in the queue', l.job_id, l.status) AS message
      FROM ledger.jobs l LEFT JOIN main.jobs q ON q.seq = l.seq
      WHERE q.seq IS NULL AND l.status IN ('queued', 'in_progress')`,
  },
  {
    rule: "a task that ended has its result",
    isLoss: true,
    sql: `SELECT format('task %d of job %s is %s in the queue, %s in the ledger', t.id, j.job_id, t.state,
        coalesce(r.state, 'without a result')) AS message
      FROM main.tasks t JOIN (${KNOWN_JOBS}) j ON j.seq = t.job LEFT JOIN ledger.results r ON r.task = t.id
      WHERE t.state IN ('completed', 'failed', 'cancelled') AND (r.task IS NULL OR r.state <> t.state OR r.job <> t.job)`,
  },
  {
    rule: "a result has its task",
    isLoss: true,
    sql: `SELECT format('task %d of job %s has a result in the ledger, but is %s in the queue', r.task, j.job_id,
        coalesce(t.state, 'not there')) AS message
      FROM ledger.results r JOIN (${KNOWN_JOBS}) j ON j.seq = r.job LEFT JOIN main.tasks t ON t.id = r.task
      WHERE t.id IS NULL OR t.state IN ('pending', 'running', 'retrying')`,
  },
  {
    rule: "the ledger's counters are recounts",
    sql: `SELECT format('job %s has completed %d, failed %d, cancelled %d, %d bytes; its results give %d, %d, %d, %d', j.job_id,
        j.completed, j.failed, j.cancelled, j.bytes, coalesce(r.completed, 0), coalesce(r.failed, 0),
        coalesce(r.cancelled, 0), coalesce(r.bytes, 0)) AS message
      FROM ledger.jobs j LEFT JOIN (SELECT job, sum(state = 'completed') AS completed, sum(state = 'failed') AS failed,
        sum(state = 'cancelled') AS cancelled, sum(bytes) AS bytes FROM ledger.results GROUP BY job) r ON r.job = j.seq
      WHERE j.pruning = 0 AND (j.completed, j.failed, j.cancelled, j.bytes) IS NOT (coalesce(r.completed, 0), coalesce(r.failed, 0),
        coalesce(r.cancelled, 0), coalesce(r.bytes, 0))`,
  },
  {
    rule: "the counts of jobs by status are recounts",
    ledgerSchema: 5,
    sql: `SELECT format('the counter of %s jobs is %s, there are %d', r.status, coalesce(c.jobs, 'missing'), r.jobs) AS message
      FROM (${JOB_COUNTS}) r LEFT JOIN ledger.job_counts c ON c.status = r.status WHERE c.jobs IS NOT r.jobs`,
  },
  {
    rule: "a job's log has no gap",
    sql: `SELECT format('the log counter of job %s is %d, there are %d rows, from %d to %d', j.job_id, j.log_count,
        coalesce(l.n, 0), l.first, l.last) AS message
      FROM ledger.jobs j LEFT JOIN (SELECT job, count(*) AS n, min(offset) AS first, max(offset) AS last FROM ledger.logs
        GROUP BY job) l ON l.job = j.seq
      WHERE j.has_logs = 1 AND j.pruning = 0 AND (coalesce(l.last, -1) <> j.log_count - 1 OR coalesce(l.n, 0) <> l.last - l.first + 1)`,
  },
  {
    rule: "a task that failed for good has its dead letter",
    isLoss: true,
    sql: `SELECT format('task %d of job %s failed for good, but has no dead letter', t.id, j.job_id) AS message
      FROM main.tasks t JOIN main.jobs j ON j.seq = t.job LEFT JOIN dlq.dead_letters d ON d.task = t.id
      WHERE t.letter = 1 AND d.task IS NULL`,
  },
  {
    rule: "a dead letter has its task",
    isLoss: true,
    sql: `SELECT format('the dead letter of task %d of job %s has no task', d.task, d.job_id) AS message
      FROM dlq.dead_letters d LEFT JOIN main.tasks t ON t.id = d.task WHERE t.id IS NULL`,
  },
  {
    rule: "a dead letter is of a task that failed for good",
    sql: `SELECT format('task %d of job %s is %s, but has a dead letter', d.task, d.job_id,
        t.state) AS message
      FROM dlq.dead_letters d JOIN main.tasks t ON t.id = d.task WHERE t.letter = 0`,
  },
  {
    rule: "the number of dead letters is a recount",
    sql: `SELECT format('the counter of dead letters is %d, there are %d', letters, (SELECT count(*) FROM dlq.dead_letters))
        AS message FROM dlq.size WHERE letters <> (SELECT count(*) FROM dlq.dead_letters)`,
  },
  {
    rule: "the groups of dead letters are recounts",
    sql: `SELECT format('the counter is %d for dead letters of %s %s, there are %d', coalesce(counter, 0), grouping, key,
        coalesce(there, 0)) AS message FROM (${wrongCounters(
          "grouping, key",
          "SELECT grouping, key, letters FROM dlq.groups",
          deadLetterGroups("dlq."),
        )})`,
  },
  {
    rule: "a job outlives its dead letters",
    isLoss: true,
    sql: `SELECT format('job %s of the dead letter of task %d is not in the ledger', d.job_id, d.task) AS message
      FROM dlq.dead_letters d LEFT JOIN ledger.jobs l ON l.seq = d.job WHERE l.seq IS NULL`,
  },
];
