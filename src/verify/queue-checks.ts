import { DEPTHS, WAITS } from "../sqlite/counters.ts";
import { type SqlCheck, wrongCounters } from "./sql-check.ts";

/** Tasks by job and state. */
const RECOUNT = `SELECT job, count(*) AS total, sum(state = 'completed') AS completed, sum(state = 'failed') AS failed,
  sum(state = 'cancelled') AS cancelled, sum(letter) AS letters, count(claim_id) AS running FROM tasks GROUP BY job`;
const LIVE_JOBS = "SELECT * FROM jobs WHERE status <> 'staged' AND pruning = 0";

/** Rules for queue.db: counters equal recounts of rows, and states follow from the counters. */
export const QUEUE_CHECKS: readonly SqlCheck[] = [
  {
    rule: "a job has all its tasks",
    isLoss: true,
    sql: `SELECT format('job %s has %d tasks, %d were accepted', j.job_id, coalesce(r.total, 0), j.total) AS message
      FROM (${LIVE_JOBS}) j LEFT JOIN (${RECOUNT}) r ON r.job = j.seq WHERE j.total <> coalesce(r.total, 0)`,
  },
  {
    rule: "job counters are recounts",
    sql: `SELECT format('job %s has completed %d, failed %d, cancelled %d, dead letters %d; its tasks give %d, %d, %d, %d',
        j.job_id, j.completed, j.failed, j.cancelled, j.letters, r.completed, r.failed, r.cancelled, r.letters) AS message
      FROM (${LIVE_JOBS}) j JOIN (${RECOUNT}) r ON r.job = j.seq
      WHERE (j.completed, j.failed, j.cancelled, j.letters) <> (r.completed, r.failed, r.cancelled, r.letters)`,
  },
  {
    rule: "a job's status follows its counters",
    sql: `SELECT format('job %s is %s with %d of %d completed, %d failed, %d cancelled', job_id, status, completed, total,
        failed, cancelled) AS message
      FROM (${LIVE_JOBS}) WHERE CASE
        WHEN completed + failed + cancelled < total THEN status NOT IN ('queued', 'in_progress')
        WHEN cancelled > 0 THEN status <> 'cancelled'
        WHEN failed = 0 THEN status <> 'completed'
        WHEN completed = 0 THEN status <> 'failed'
        ELSE status <> 'partial' END`,
  },
  {
    rule: "a task has its job",
    isLoss: true,
    sql: `SELECT format('task %d belongs to job %d, which is missing', t.id, t.job) AS message
      FROM tasks t LEFT JOIN jobs j ON j.seq = t.job WHERE j.seq IS NULL`,
  },
  {
    rule: "a task's id is in its job's range",
    isLoss: true,
    sql: `SELECT format('task %d of job %s is outside its range %d to %d', t.id, j.job_id, j.first_task, j.last_task) AS message
      FROM tasks t JOIN jobs j ON j.seq = t.job WHERE t.id NOT BETWEEN j.first_task AND j.last_task`,
  },
  {
    rule: "lanes are recounts",
    sql: `SELECT format('lane %d of job %d counts %d waiting tasks, there are %d', l.id, l.job, l.waiting, coalesce(w.n, 0)) AS message
      FROM lanes l LEFT JOIN (SELECT lane, count(*) AS n FROM tasks WHERE available_at IS NOT NULL GROUP BY lane) w
        ON w.lane = l.id WHERE l.waiting <> coalesce(w.n, 0)`,
  },
  {
    rule: "a waiting task has its lane",
    isLoss: true,
    sql: `SELECT format('task %d waits in lane %d, which is missing', t.id, t.lane) AS message
      FROM tasks t LEFT JOIN lanes l ON l.id = t.lane AND l.job = t.job WHERE t.available_at IS NOT NULL AND l.id IS NULL`,
  },
  {
    rule: "the depth is a recount",
    sql: `SELECT format('the counter is %s for tasks that are %s, there are %d', coalesce(d.tasks, 'missing'), r.state, r.tasks)
        AS message FROM (${DEPTHS}) r LEFT JOIN depth d ON d.state = r.state WHERE d.tasks IS NOT r.tasks`,
  },
  {
    rule: "the number of waiting tasks of a host is a recount",
    sql: `SELECT format('the counter is %d for tasks that wait for %s, there are %d', coalesce(counter, 0), host,
        coalesce(there, 0)) AS message FROM (${wrongCounters("host", "SELECT host, tasks FROM waits", WAITS)})`,
  },
  {
    rule: "a live task has its payload",
    isLoss: true,
    sql: `SELECT format('task %d is %s, but its payload is lost', id, state) AS message
      FROM tasks WHERE state IN ('pending', 'running', 'retrying') AND length(payload) = 0`,
  },
];
