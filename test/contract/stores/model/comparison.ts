import { expect } from "bun:test";
import type { Lane } from "../../../../src/jobs/lane.ts";
import { LOG_LEVELS } from "../../../../src/jobs/stores/ledger-reads.ts";
import { type ClaimedTask, TASK_STATES, type TaskState } from "../../../../src/jobs/task.ts";
import { present } from "../../../support/sample-jobs.ts";
import type { BackendStores } from "../backend.ts";
import type { Books } from "./books.ts";
import { jobStatus, type ModelJob, type ModelTask } from "./model-job.ts";

const ALL = Number.MAX_SAFE_INTEGER;
const MANY = 100_000;
const ROUNDS_UNTIL_ALL = 20;

/** Compares the reads of the stores with the books. */
export class Comparison {
  readonly #stores: BackendStores;
  readonly #books: Books;
  /** Jobs as they were compared last. */
  #compared = new Map<ModelJob, string>();
  #rounds = 0;

  constructor(stores: BackendStores, books: Books) {
    this.#stores = stores;
    this.#books = books;
  }

  /** Compares all figures and lists, and the tasks of each job that changed; now and then those of all. Returns the lanes. */
  async run(): Promise<Lane[]> {
    if (this.#rounds++ % ROUNDS_UNTIL_ALL === 0) this.#compared = new Map();
    await this.#stores.ledger.bringUpToDate();
    await expectJobs(this.#stores, this.#books);
    for (const job of this.#books.live()) {
      const state = JSON.stringify([job.isInQueue, job.logs.length, job.tasks.map(stateOf)]);
      if (this.#compared.get(job) === state) continue;
      await expectTasks(this.#stores, job);
      this.#compared.set(job, state);
    }
    await expectDeadLetters(this.#stores, this.#books);
    await expectFigures(this.#stores, this.#books);
    return await expectLanes(this.#stores, this.#books);
  }
}

const stateOf = (task: ModelTask) => [shownState(task), task.attempts, task.history.length, task.hasDeadLetter];

async function expectJobs(stores: BackendStores, books: Books): Promise<void> {
  const jobs = books.live().toSorted((a, b) => b.header.seq - a.header.seq);
  expect(await stores.ledger.listJobs({}, ALL, MANY)).toEqual(jobs.map(recordOf));
  const kept = [...books.jobs].filter(([, { isInQueue }]) => isInQueue).map(([seq]) => seq);
  expect((await stores.queue.retention.keptJobs([...books.jobs.keys()])).toSorted(ascending)).toEqual(
    kept.toSorted(ascending),
  );
  const ended = jobs.filter((job) => job.isInQueue && job.completedAt !== null && !job.tasks.some(hasDeadLetter));
  const prunable = ended.toSorted((a, b) => (a.completedAt ?? 0) - (b.completedAt ?? 0) || a.header.seq - b.header.seq);
  expect(await stores.queue.retention.prunableJobs(ALL, MANY)).toEqual(prunable.map(({ header }) => header.seq));
}

const hasDeadLetter = (task: ModelTask) => task.hasDeadLetter;

function recordOf(job: ModelJob) {
  const { spanId: _spanId, sampled: _sampled, ...header } = job.header; // the attempts' alone
  const count = (state: ModelTask["state"]) => job.tasks.filter((task) => task.state === state).length;
  return {
    ...header,
    status: jobStatus(job),
    total: job.tasks.length,
    completed: count("completed"),
    failed: count("failed"),
    cancelled: count("cancelled"),
    bytes: job.tasks.reduce((sum, { result }) => sum + (result?.bytes ?? 0), 0),
    firstTask: present(job.tasks[0]).id,
    lastTask: present(job.tasks.at(-1)).id,
    logCount: job.logs.length,
    updatedAt: job.updatedAt,
    completedAt: job.completedAt,
  };
}

/** The state that readers see. */
function shownState({ state, isStarted, history }: ModelTask): TaskState {
  if (state !== "waiting" && state !== "running") return state;
  if (state === "running" && isStarted) return "running";
  return history.length > 0 ? "retrying" : "pending";
}

async function expectTasks({ ledger, queue }: BackendStores, job: ModelJob): Promise<void> {
  const record = recordOf(job);
  const queued = await queue.control.tasksOfJob({ job: record, afterId: 0, limit: MANY }, TASK_STATES);
  const expected = job.tasks.map((task) => {
    const state = shownState(task);
    const isOpen = task.result === undefined;
    return { id: task.id, state, attempts: isOpen ? task.attempts : 0, history: isOpen ? task.history : [] };
  });
  const shown = queued.map(({ id, state, attempts, task, history }) => {
    return { id, state, attempts: task === undefined ? 0 : attempts, history };
  });
  expect(shown).toEqual(job.isInQueue ? expected : []);

  const ended = job.tasks.filter(({ result }) => result !== undefined);
  const results = (await ledger.results(record, 0, MANY)).map(
    ({ task, state, resourceId, attempts, httpStatus, bytes, errorCode, errorMessage, finishedAt, history }) => {
      const more = { attempts, httpStatus, bytes, errorCode, errorMessage, finishedAt, history };
      return { task, state, resourceId, ...more };
    },
  );
  const wanted = ended.map(({ id, state, task, result }) => {
    return { task: id, state, resourceId: task.resourceId, ...result };
  });
  expect<unknown>(results).toEqual(wanted);
  const failures = (await ledger.failures(record, MANY)).map(({ task }) => task);
  expect(failures).toEqual(ended.filter(({ state }) => state === "failed").map(({ id }) => id));

  const { rows } = await ledger.logs(record, 0, MANY, LOG_LEVELS);
  expect(rows.map(({ offset }) => offset)).toEqual(rows.map((_, at) => at));
  // Rows of one commit may come in any order.
  const lines = rows.map(({ level, message, resourceId }) => `${level} ${message} ${resourceId}`);
  expect(lines.sort()).toEqual(job.logs.map((log) => log.map(String).join(" ")).sort());
}

async function expectDeadLetters({ deadLetters }: BackendStores, books: Books): Promise<void> {
  const dead = [...books.tasks.values()].filter(hasDeadLetter).toSorted((a, b) => b.id - a.id);
  expect([await deadLetters.size(), await deadLetters.count({})]).toEqual([dead.length, dead.length]);
  const found = await deadLetters.full({}, ALL, MANY);
  expect(
    found.map(({ task, jobId, host, code, attempts, failedAt, history, contents }) => {
      return { task, jobId, host, code, attempts, failedAt, history, contents };
    }),
  ).toEqual(
    dead.map(({ id, job, host, result, history, task }) => ({
      task: id,
      jobId: job.header.jobId,
      host,
      code: present(result).errorCode ?? "",
      attempts: present(result).attempts,
      failedAt: present(result).finishedAt,
      history,
      contents: expect.objectContaining(task) as typeof task,
    })),
  );
  const byHost = await deadLetters.groups("host", {}, MANY);
  const hosts = [...Map.groupBy(dead, ({ host }) => host)].map(([key, letters]) => [key, letters.length] as const);
  expect(new Map(byHost.map(({ key, letters }) => [key, letters]))).toEqual(new Map(hosts));
}

async function expectFigures({ queue, clock }: BackendStores, books: Books): Promise<void> {
  const { control, cancellations, deadLetters } = queue;
  const depth = { pending: 0, running: 0, retrying: 0 };
  const tasks = [...books.tasks.values()].filter(({ job }) => !job.isStaged);
  for (const task of tasks) {
    if (task.state === "running") depth.running++;
    else if (task.state === "waiting") depth[task.history.length > 0 ? "retrying" : "pending"]++;
  }
  expect(await control.depth()).toEqual(depth);

  const waiting = books.waiting();
  const claimable = waiting.filter(({ job }) => !job.isCancelling);
  const now = clock.steady();
  const held = tasks.filter(({ state, isStarted }) => state === "running" && !isStarted);
  const since = [...claimable.map(({ availableAt }) => availableAt), ...held.map(({ claimedAt }) => claimedAt)];
  expect(await control.oldestPendingAgeMs()).toBe(Math.max(0, now - Math.min(now, ...since)));
  const due = claimable.map(({ availableAt }) => Math.max(0, availableAt - now));
  expect(await control.nextDueMs()).toBe(due.length === 0 ? undefined : Math.min(...due));
  const hosts = [...Map.groupBy(waiting, ({ host }) => host)].map(([host, all]) => [host, all.length] as const);
  expect(await control.busiestHosts(MANY)).toEqual(new Map(hosts));
  expect(await control.waitingHosts({ limit: MANY })).toEqual({
    hosts: new Map(hosts),
    next: undefined,
  });
  expect(await control.waitingOf([...hosts.map(([host]) => host), "unknown.test"])).toEqual(new Map(hosts));

  expect(control.isPaused()).toBe(books.isPaused);
  const cancelling = books.live().filter(({ isCancelling }) => isCancelling);
  expect([...(await cancellations.cancelling())].sort((a, b) => a - b)).toEqual(
    cancelling.map(({ header }) => header.seq),
  );
  expect(await deadLetters.operations()).toEqual([...books.operations.values()].toSorted((a, b) => b.id - a.id));
  const byName = (a: { host: string }, b: { host: string }) => a.host.localeCompare(b.host);
  expect((await queue.hosts.known()).sort(byName)).toEqual([...books.hosts.values()].sort(byName));
  for (const [key, { answer }] of books.keys) {
    expect((await queue.acceptor.findIdempotent("default", key))?.answer).toBe(answer);
  }
}

async function expectLanes({ queue }: BackendStores, books: Books): Promise<Lane[]> {
  const claimable = books.waiting().filter(({ job }) => !job.isCancelling);
  const nameOf = (job: number, host: string, bucket: string) => `${job} ${host} ${bucket}`;
  const groups = Map.groupBy(claimable, ({ job, host, task }) => nameOf(job.header.seq, host, task.bucket));
  const lanes = await queue.source.lanes(MANY);
  expect(new Map(lanes.map(({ job, host, bucket, waiting }) => [nameOf(job.seq, host, bucket), waiting]))).toEqual(
    new Map([...groups].map(([name, tasks]) => [name, tasks.length])),
  );
  for (const { job, host, bucket, nextDue } of lanes) {
    const tasks = present(groups.get(nameOf(job.seq, host, bucket)));
    expect(job).toEqual(present(tasks[0]).job.header);
    // No task of the lane may be due earlier.
    expect(nextDue).toBeLessThanOrEqual(Math.min(...tasks.map(({ availableAt }) => availableAt)));
  }
  expect(lanes).toEqual(lanes.toSorted((a, b) => a.nextDue - b.nextDue || a.id - b.id));
  expect(await queue.source.lanesAfter(0, MANY)).toEqual(lanes.toSorted((a, b) => a.id - b.id));
  return lanes;
}

/** The claim that a task of the books must be given as; the stores choose its numbers. */
export function claimOf({ job, task, ...model }: ModelTask, claimed: readonly ClaimedTask[]): ClaimedTask {
  const { id, host, attempts, crashes, mayHaveStored, history, waitingSince } = model;
  const same = present(claimed.find((each) => each.id === id));
  const { claimId, lane } = same;
  return {
    id,
    claimId,
    lane,
    job: job.header,
    task: expect.objectContaining(task) as unknown as ClaimedTask["task"],
    host,
    attempts,
    crashes,
    mayHaveStored,
    history,
    waitingSince,
  };
}

function ascending(a: number, b: number): number {
  return a - b;
}
