import { expect } from "bun:test";
import { JOB_STATUSES, type JobStatus } from "../../src/jobs/job.ts";
import { GROUPINGS } from "../../src/jobs/stores/dead-letter-reads.ts";
import type { TestStores } from "../support/stores.ts";

const LIVE = ["pending", "running", "retrying"];

/** Every counter of the three stores against a recount of what it counts. */
export async function expectTrueCounters(stores: TestStores): Promise<void> {
  await expectTrueQueue(stores);
  await expectTrueFollowers(stores);
}

async function expectTrueQueue(stores: TestStores): Promise<void> {
  const states = stores.read<{ state: string; n: number }>(
    "queue",
    `SELECT state, count(*) AS n FROM tasks JOIN jobs ON jobs.seq = tasks.job
     WHERE jobs.status <> 'staged' GROUP BY state`,
  );
  const recounted = Object.fromEntries(LIVE.map((state) => [state, states.find((row) => row.state === state)?.n ?? 0]));
  expect(await stores.queue.control.depth()).toEqual(
    recounted as Awaited<ReturnType<typeof stores.queue.control.depth>>,
  );

  const wrongJobs = stores.read(
    "queue",
    `SELECT * FROM (SELECT jobs.*, count(tasks.id) AS n, count(*) FILTER (WHERE state = 'completed') AS c,
       count(*) FILTER (WHERE state = 'failed') AS f, count(*) FILTER (WHERE state = 'cancelled') AS x,
       count(*) FILTER (WHERE letter = 1) AS l,
       count(*) FILTER (WHERE state IN ('pending', 'running', 'retrying')) AS live
     FROM jobs LEFT JOIN tasks ON tasks.job = jobs.seq GROUP BY jobs.seq)
     WHERE total <> n OR completed <> c OR failed <> f OR cancelled <> x OR letters <> l
       OR (live = 0) <> (status IN ('completed', 'partial', 'failed', 'cancelled'))`,
  );
  expect(wrongJobs).toEqual([]);

  const wrongLanes = stores.read(
    "queue",
    `SELECT * FROM (SELECT lanes.*, count(tasks.id) AS n, min(tasks.available_at) AS first FROM lanes
     LEFT JOIN tasks ON tasks.lane = lanes.id AND tasks.available_at IS NOT NULL GROUP BY lanes.id)
     WHERE waiting <> n OR next_due > first`,
  );
  expect(wrongLanes).toEqual([]);

  const strayLanes = stores.read(
    "queue",
    "SELECT id FROM lanes WHERE job NOT IN (SELECT seq FROM jobs WHERE finished_at IS NULL)",
  );
  expect(strayLanes).toEqual([]);

  const waits = stores.read<{ host: string; tasks: number }>(
    "queue",
    `SELECT host, sum(waiting) AS tasks FROM lanes JOIN jobs ON jobs.seq = lanes.job
     WHERE jobs.status <> 'staged' AND waiting > 0 GROUP BY host ORDER BY tasks DESC, host`,
  );
  expect([...(await stores.queue.control.busiestHosts(1000))]).toEqual(waits.map(({ host, tasks }) => [host, tasks]));

  const strayTasks = stores.read(
    "queue",
    "SELECT id FROM tasks WHERE available_at IS NOT NULL AND lane NOT IN (SELECT id FROM lanes WHERE lanes.job = tasks.job)",
  );
  expect(strayTasks).toEqual([]);
}

async function expectTrueFollowers(stores: TestStores): Promise<void> {
  stores.stores.outbox.deliver();
  expect(stores.stores.outbox.isDelivered).toBe(true);
  const columns =
    "seq, job_id, job_type, tenant, priority, status, total, completed, failed, cancelled, first_task, last_task";
  const truth = stores.read("queue", `SELECT ${columns} FROM jobs WHERE status <> 'staged' ORDER BY seq`);
  expect(stores.read("ledger", `SELECT ${columns} FROM jobs ORDER BY seq`)).toEqual(truth);

  const ended = "state IN ('completed', 'failed', 'cancelled') ORDER BY id";
  expect(stores.read("ledger", "SELECT task AS id, job, state FROM results ORDER BY task")).toEqual(
    stores.read("queue", `SELECT id, job, state FROM tasks WHERE ${ended}`),
  );
  const letters = stores.read<{ id: number }>("dlq", "SELECT task AS id, job FROM dead_letters ORDER BY task");
  expect(letters).toEqual(stores.read("queue", "SELECT id, job FROM tasks WHERE letter = 1 ORDER BY id"));
  const { deadLetters } = stores.stores;
  expect(await deadLetters.size()).toBe(letters.length);
  for (const grouping of GROUPINGS) {
    // A condition that all fulfil lets them be read and counted.
    const [counted, recounted] = await Promise.all(
      [{}, { since: 0 }].map(async (filter) =>
        (await deadLetters.groups(grouping, filter, 1000)).map(({ key, letters: n, firstAt, lastAt }) => ({
          key,
          n,
          firstAt,
          lastAt,
        })),
      ),
    );
    expect(counted).toEqual(recounted);
  }

  const recounts = stores.read<{ status: JobStatus; n: number }>(
    "ledger",
    "SELECT status, count(*) AS n FROM jobs WHERE pruning = 0 GROUP BY status",
  );
  const { counts } = await stores.stores.ledger.countJobs({}, 0);
  expect(counts).toEqual(
    Object.fromEntries(
      JOB_STATUSES.map((status) => [status, recounts.find((row) => row.status === status)?.n ?? 0]),
    ) as typeof counts,
  );

  const wrongLogs = stores.read(
    "ledger",
    `SELECT * FROM (SELECT jobs.seq, log_count, count(*) AS n, min(offset) AS first, max(offset) AS last
     FROM jobs JOIN logs ON logs.job = jobs.seq GROUP BY jobs.seq)
     WHERE log_count <> n OR first <> 0 OR last <> n - 1`,
  );
  expect(wrongLogs).toEqual([]);
  const wrongBytes = stores.read(
    "ledger",
    `SELECT seq FROM jobs WHERE bytes <> (SELECT coalesce(sum(bytes), 0) FROM results WHERE job = jobs.seq)`,
  );
  expect(wrongBytes).toEqual([]);
}
