import { expect } from "bun:test";
import type { HostRecord } from "../../../../src/jobs/host-record.ts";
import type { Lane } from "../../../../src/jobs/lane.ts";
import {
  IdempotencyTakenError,
  type NewJob,
  QueueFullError,
  type StagedJob,
} from "../../../../src/jobs/stores/acceptor.ts";
import type { ClaimedTask } from "../../../../src/jobs/task.ts";
import type { Verdict } from "../../../../src/jobs/verdict.ts";
import {
  acceptance,
  complete,
  discard,
  newJob,
  newTasks,
  present,
  release,
  retryAt,
  snoozeUntil,
} from "../../../support/sample-jobs.ts";
import { type BackendStores, jobOf, recover } from "../backend.ts";
import { Books } from "./books.ts";
import { Comparison, claimOf } from "./comparison.ts";
import type { ModelJob, ModelTask } from "./model-job.ts";

const HOSTS = ["a.test", "b.test", "c.test:81"];
/** Jobs that are in the ledger at most: each is read after each step. */
const JOBS_MAX = 15;

/** Gives integers from 0 to `below` - 1. */
export type Random = (below: number) => number;

/** One change: what was asked of the stores, and what it does to the books once it has resolved. */
interface Change<T> {
  readonly work: Promise<T>;
  readonly apply: (value: T) => void | Promise<void>;
}

/** Operations of clients, a broker, workers and operators in a random order, on stores and on books. */
export class RandomOperations {
  readonly books: Books;
  readonly counts = { completed: 0, replayed: 0, crashes: 0, stale: 0, refused: 0, cancelled: 0 };
  readonly #stores: BackendStores;
  readonly #random: Random;
  readonly #comparison: Comparison;
  #lanes: Lane[] = [];
  #claimed: ClaimedTask[] = [];
  /** Claims that were settled, or were out at a crash: each must stay without effect. */
  #stale: ClaimedTask[] = [];
  #staged: { readonly job: NewJob; readonly staged: StagedJob }[] = [];

  constructor(stores: BackendStores, random: Random) {
    this.#stores = stores;
    this.#random = random;
    this.books = new Books(stores.clock);
    this.#comparison = new Comparison(stores, this.books);
  }

  async step(): Promise<void> {
    const dice = this.#random(1000);
    const { clock } = this.#stores;
    if (dice < 110) await this.#run(this.#accept());
    else if (dice < 150) await this.#stage();
    else if (dice < 350) await this.#run(this.#claim());
    else if (dice < 450) await this.#run(this.#start());
    else if (dice < 640) await this.#run(...this.#settleSome());
    else if (dice < 700) await this.#run(this.#accept(false), this.#start(), ...this.#settleSome(), this.#noteHost());
    else if (dice < 730) await this.#run(this.#settleStale());
    else if (dice < 750) await this.#run(this.#requestCancel());
    else if (dice < 780) await this.#run(this.#cancelWaiting());
    else if (dice < 850) await this.#changeDeadLetters();
    else if (dice < 870) await this.#run(this.#operate());
    else if (dice < 890) await this.#run(this.#pause());
    else if (dice < 905) await this.#run(this.#noteHost());
    else if (dice < 920) await this.#prune();
    else if (dice < 925) expect(await this.#stores.stores.makeDurable()).toBe(true);
    else if (dice < 975) await clock.advance(this.#random(3000));
    else if (dice < 985) clock.jump(this.#random(2000) - 1000);
    else await this.#restart();
    if (this.books.live().length > JOBS_MAX) await this.#prune();
    this.#lanes = await this.#comparison.run();
  }

  /** Lets all jobs end. */
  async finish(): Promise<void> {
    await this.#restart();
    if (this.books.isPaused) await this.#run(this.#pause());
    for (let rounds = 0; this.books.waiting().length > 0; rounds++) {
      expect(rounds).toBeLessThan(100);
      await this.#stores.clock.advance(10_000);
      this.#lanes = await this.#comparison.run();
      await this.#run(this.#claim(true));
      for (const job of this.books.live().filter(({ isCancelling }) => isCancelling)) {
        await this.#run(this.#cancelWaiting(job, 1000));
      }
      await this.#run(...this.#claimed.splice(0).map((claimed) => this.#settle(claimed, this.#verdict())));
    }
    await this.#comparison.run();
  }

  /** Commits some changes together, and applies each that succeeded to the books. */
  async #run(...changes: readonly (Change<never> | undefined)[]): Promise<void> {
    const made = changes.filter((change) => change !== undefined);
    const ends = await this.#stores.now(Promise.allSettled(made.map(({ work }) => work)));
    for (const [at, end] of ends.entries()) {
      if (end.status === "fulfilled") await made[at]?.apply(end.value);
      else throw end.reason;
    }
  }

  #pick<T>(list: readonly T[]): T | undefined {
    return list[this.#random(Math.max(1, list.length))];
  }

  /** Without a limit the job is refused only because its key is taken, whatever shares its commit. */
  #accept(isLimited = this.#random(2) === 0): Change<never> {
    const { acceptor } = this.#stores.queue;
    const [ready] = this.#staged.splice(0, this.#random(2));
    const job = ready?.job ?? newJob({ createdAt: this.#stores.clock.now() });
    const tasks = newTasks(1 + this.#random(6), HOSTS.slice(this.#random(HOSTS.length)));
    const pendingMax = isLimited ? 25 : 1_000_000;
    const key = `k${this.#random(30)}`;
    const idempotency = this.#random(3) > 0 ? undefined : { key, fingerprint: new Uint8Array(32), answer: job.jobId };
    const depth = [...this.books.tasks.values()].filter(
      ({ state, job: of }) => (state === "waiting" || state === "running") && !of.isStaged,
    ).length;
    const isFull = depth + (ready?.staged.total ?? 0) + tasks.length > pendingMax;
    const isTaken = idempotency !== undefined && this.books.keys.has(key);
    const accepted = acceptor.accept(acceptance(tasks, { job, staged: ready?.staged, pendingMax, idempotency }));
    const work = accepted.catch((error: unknown) => {
      if (!(isFull && error instanceof QueueFullError) && !(isTaken && error instanceof IdempotencyTakenError)) {
        throw error;
      }
      this.counts.refused++;
      if (ready !== undefined) this.#staged.push(ready);
      return undefined;
    });
    return change(work, async (header) => {
      if (header === undefined) return;
      expect([isFull, isTaken]).toEqual([false, false]);
      const { lastTask } = await jobOf(this.#stores, header.jobId);
      this.books.accept(header, tasks, lastTask, idempotency);
    });
  }

  async #stage(): Promise<void> {
    const { acceptor } = this.#stores.queue;
    const before = this.#random(2) === 0 ? this.#staged.pop() : undefined;
    const job = before?.job ?? newJob({ createdAt: this.#stores.clock.now() });
    const tasks = newTasks(1 + this.#random(5), HOSTS);
    const staged = await this.#stores.now(acceptor.stage(job, tasks, before?.staged));
    this.books.stage({ ...job, seq: staged.seq }, tasks, staged);
    if (this.#random(4) > 0) {
      this.#staged.push({ job, staged });
      return;
    }
    await this.#stores.now(acceptor.unstage(staged));
    this.books.unstage(staged.seq);
  }

  #claim(all = false): Change<never> {
    const lanes = this.#lanes.filter(() => all || this.#random(3) > 0);
    const asked = lanes.map((lane) => ({ lane, limit: all ? 1000 : 1 + this.#random(4) }));
    const expected = asked.flatMap(({ lane, limit }) => this.#dueIn(lane).slice(0, limit));
    const { source } = this.#stores.queue;
    const work = source.claim(asked.map(({ lane, limit }) => ({ lane: lane.id, limit })));
    return change(work, (claimed) => {
      const byId = claimed.toSorted((a, b) => a.id - b.id);
      expect(byId).toEqual(expected.sort((a, b) => a.id - b.id).map((task) => claimOf(task, byId)));
      this.books.claim(claimed);
      this.#claimed.push(...claimed);
    });
  }

  /** The tasks of a lane that may be claimed now, the oldest first. */
  #dueIn(lane: Lane): ModelTask[] {
    const now = this.#stores.clock.steady();
    return this.books
      .waiting()
      .filter(
        ({ job, host, task }) => job.header.seq === lane.job.seq && host === lane.host && task.bucket === lane.bucket,
      )
      .filter(({ availableAt, job }) => availableAt <= now && !job.isCancelling)
      .toSorted((a, b) => a.availableAt - b.availableAt || a.id - b.id);
  }

  #start(): Change<never> | undefined {
    const claimed = this.#pick(this.#claimed);
    if (claimed === undefined) return undefined;
    return change(this.#stores.queue.settlements.markStarted(claimed), () => this.books.start(claimed.id));
  }

  #settle(claimed: ClaimedTask, verdict: Verdict): Change<never> {
    return change(this.#stores.queue.settlements.settle({ claimed, verdict }), (settled) => {
      expect(settled).toBe(true);
      expect(this.books.settle(claimed, verdict)).toBe(true);
      if (verdict.kind === "complete") this.counts.completed++;
      this.#stale.push(claimed);
    });
  }

  /** Settlements of different tasks, in one commit. */
  #settleSome(): Change<never>[] {
    const count = 1 + this.#random(5);
    const picked = Array.from({ length: count }, () => this.#claimed.splice(this.#random(this.#claimed.length), 1));
    return picked.flat().map((claimed) => this.#settle(claimed, this.#verdict()));
  }

  #settleStale(): Change<never> | undefined {
    const claimed = this.#pick(this.#stale);
    if (claimed === undefined) return undefined;
    return change(this.#stores.queue.settlements.settle({ claimed, verdict: this.#verdict() }), (settled) => {
      expect(settled).toBe(false);
      this.counts.stale++;
    });
  }

  #requestCancel(): Change<never> | undefined {
    const job = this.#pick([...this.books.jobs.values()]);
    if (job === undefined) return undefined;
    const isOpen = !job.isStaged && job.completedAt === null;
    return change(this.#stores.queue.cancellations.request(job.header.jobId), (requested) => {
      expect(requested).toEqual(isOpen ? { job: job.header.seq, isNew: !job.isCancelling } : undefined);
      if (isOpen) this.books.requestCancel(job);
    });
  }

  #cancelWaiting(
    job: ModelJob | undefined = this.#pick(this.books.live().filter(({ isCancelling }) => isCancelling)),
    count = 1 + this.#random(4),
  ): Change<never> | undefined {
    if (job === undefined) return undefined;
    const tasks = job.tasks.filter(({ state }) => state === "waiting").slice(0, count);
    // One that runs or has ended is left out.
    const ids = [...tasks, ...job.tasks.filter(({ state }) => state !== "waiting")].map(({ id }) => id);
    return change(this.#stores.queue.cancellations.cancelWaiting(job.header.seq, ids), () => {
      for (const task of tasks) this.books.cancelTask(task);
      this.counts.cancelled += tasks.length;
    });
  }

  /** Replays or discards some dead letters, some of them twice, perhaps as a step of an operation. */
  async #changeDeadLetters(): Promise<void> {
    const { queue, deadLetters, clock } = this.#stores;
    const found = await deadLetters.full({}, Number.MAX_SAFE_INTEGER, 1 + this.#random(4));
    const operation = this.#pick([...this.books.operations.values()].filter(({ state }) => state === "running"));
    const beforeTask = found.at(-1)?.task ?? 1;
    const step = operation && { id: operation.id, processed: found.length, beforeTask, lateMs: 0 };
    if (this.#random(3) === 0) {
      const refs = found.map(({ task: id, resourceId }) => ({ id, resourceId }));
      const twice = [...refs, ...refs.slice(1)];
      const ids = twice.map(({ id }) => id);
      const discarded = queue.deadLetters.discard(twice, "given_up", step);
      await this.#run(change(discarded, (n) => expect(n).toBe(this.books.discard(ids, "given_up", step))));
      return;
    }
    const from = clock.steady();
    const gapMs = this.#random(2) * 700;
    const replays = found.map(({ task: id, contents, history }, at) => {
      const url = this.#random(3) > 0 ? contents.url : `http://${HOSTS[this.#random(HOSTS.length)]}/again/${id}`;
      const task = { ...contents, url, headers: { "X-Try": String(this.#random(9)) } };
      return { id, task, history, availableAt: from + at * gapMs };
    });
    const twice = [...replays, ...replays.slice(1)];
    await this.#run(
      change(queue.deadLetters.replay(twice, step), (n) => {
        expect(n).toBe(this.books.replay(twice, step));
        this.counts.replayed += n;
      }),
    );
  }

  #operate(): Change<never> {
    const { deadLetters } = this.#stores.queue;
    const known = this.#pick([...this.books.operations.values()]);
    if (known !== undefined && this.#random(2) === 0) {
      const state = present((["completed", "stopped", "failed"] as const)[this.#random(3)]);
      const error = state === "failed" ? "no" : undefined;
      return change(deadLetters.end(known.id, state, error), () =>
        this.books.endOperation(known.id, state, error ?? null),
      );
    }
    const ratePerSecond = this.#random(2) === 0 ? undefined : 1 + this.#random(5);
    const overrides = { proxyPool: "p" };
    const operation = {
      kind: "replay",
      filter: { code: "c" },
      overrides,
      ratePerSecond,
      matched: 3,
      startedBy: "alice",
    } as const;
    return change(deadLetters.begin(operation), (begun) => {
      const { state, processed, changed, dueFrom } = begun;
      expect([state, processed, changed, dueFrom]).toEqual(["running", 0, 0, this.#stores.clock.steady()]);
      this.books.operations.set(begun.id, begun);
    });
  }

  #pause(): Change<never> {
    const paused = this.#random(4) === 0 ? this.books.isPaused : !this.books.isPaused;
    return change(this.#stores.queue.control.setPaused(paused), (ms) => expect(ms).toBe(this.books.setPaused(paused)));
  }

  #noteHost(): Change<never> {
    const host = present(this.#pick(HOSTS));
    const now = this.#stores.clock.steady();
    const record: HostRecord = {
      host,
      closedUntil: now + this.#random(5000),
      failuresInARow: this.#random(20),
      breakerMs: this.#random(3000),
      breakerUntil: now + this.#random(3000),
      unavailableSince: this.#random(2) === 0 ? undefined : now - this.#random(5000),
      concurrencyLimit: 1 + this.#random(8) / 8,
      slowedAt: now - this.#random(5000),
    };
    const changes = this.#random(4) === 0 ? [{ host, forget: true } as const] : [record];
    return change(
      this.#stores.queue.hosts.note(() => changes),
      () => this.books.noteHosts(changes),
    );
  }

  /** Lets retention remove all jobs that have ended: first from the queue, then from the ledger. */
  async #prune(): Promise<void> {
    const { queue, ledger, now } = this.#stores;
    const before = Number.MAX_SAFE_INTEGER;
    const jobs = await queue.retention.prunableJobs(before, 1000);
    expect(await now(queue.retention.pruneJobs(jobs, 1_000_000))).toBe(jobs.length);
    for (const seq of jobs) present(this.books.jobs.get(seq)).isInQueue = false;
    const keys = [...this.books.keys].filter(([, { job }]) => !job.isInQueue || job.completedAt !== null);
    expect(await now(queue.retention.pruneKeys(before, 1000))).toBe(keys.length);
    for (const [key] of keys) this.books.keys.delete(key);
    await this.#comparison.run();
    const gone = this.books.live().filter(({ isInQueue }) => !isInQueue);
    const seqs = gone.map(({ header }) => header.seq);
    expect(await ledger.pruneJobs(seqs, 1_000_000)).toBe(seqs.length);
    await ledger.pruneKeys(before, 1000);
    for (const job of gone) {
      for (const { id } of job.tasks) this.books.tasks.delete(id);
      this.books.jobs.delete(job.header.seq);
    }
  }

  /** Kills the process, while changes gather, and recovers. */
  async #restart(): Promise<void> {
    const { clock, now, queue } = this.#stores;
    // The next process knows when this one was last seen, to the second: now.
    await clock.advance(1000);
    await now(queue.hosts.note(() => []));
    const lastSeen = clock.steady();
    const settled = this.#settleSome();
    const lost = this.#random(2) === 0 ? [] : [...settled, this.#accept(false)];
    const ends = Promise.allSettled(lost.map(({ work }) => work));
    await this.#stores.crash();
    for (const [at, end] of (await ends).entries()) if (end.status === "fulfilled") await lost[at]?.apply(end.value);
    this.#stale.push(...this.#claimed.splice(0));
    this.#staged = [];
    this.counts.crashes++;
    const staged = [...this.books.jobs.values()].filter(({ isStaged }) => isStaged).length;
    const { poison, ...recovered } = await recover(this.#stores);
    const expected = this.books.recover(lastSeen);
    expect({ ...recovered, poison: poison.map(({ id }) => id) }).toEqual({ ...expected, sweptJobs: staged });
    await this.#stores.expectTrueCounters();
  }

  #verdict(): Verdict {
    const now = this.#stores.clock.steady();
    const verdicts: Verdict[] = [
      complete,
      complete,
      discard,
      discard,
      { kind: "cancel" },
      release,
      retryAt(now + this.#random(5000)),
      snoozeUntil(now + this.#random(5000), now),
    ];
    return present(this.#pick(verdicts));
  }
}

/** Hides the type of the value that a change resolves to. */
function change<T>(work: Promise<T>, apply: (value: T) => void | Promise<void>): Change<never> {
  return { work, apply } as unknown as Change<never>;
}
