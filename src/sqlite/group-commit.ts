import type { Database } from "bun:sqlite";
import type { Event } from "../gen/fetchbox/v1/event.ts";
import type { JobCounters } from "../jobs/job.ts";
import type { TaskState } from "../jobs/task.ts";

/** How a job's counters change. */
export type Tally = { -readonly [K in keyof Omit<JobCounters, "total">]: number } & { letters: number };
type WaitingState = Extract<TaskState, "pending" | "running" | "retrying">;

/** What one member of a commit changed, gathered so that the commit writes it once for all its members. */
export class Changes {
  readonly events: Event[] = [];
  readonly depth = new Map<WaitingState, number>();
  /** By host. */
  readonly waits = new Map<string, number>();
  readonly tallies = new Map<number, Tally>();
  /** What follows in memory; at once, so that the next transaction finds it in step with the store. */
  readonly afterCommit: (() => void)[] = [];
  /** What others hear of it: once it cannot be lost. */
  readonly onceDurable: (() => void)[] = [];

  /** Tasks entered (positive) or left (negative) a state that is not final. */
  moved(state: WaitingState, tasks: number): void {
    this.depth.set(state, (this.depth.get(state) ?? 0) + tasks);
  }

  /** Tasks came to wait for a host (positive), or wait no longer (negative). */
  waited(host: string, tasks: number): void {
    this.waits.set(host, (this.waits.get(host) ?? 0) + tasks);
  }

  /** Tasks of a job ended, or dead letters of it came (positive) or went (negative). */
  tally(job: number, what: keyof Tally, by = 1): void {
    const tally = this.tallies.get(job) ?? { completed: 0, failed: 0, cancelled: 0, letters: 0 };
    tally[what] += by;
    this.tallies.set(job, tally);
  }

  absorb(other: Changes): void {
    for (const event of other.events) this.events.push(event);
    for (const [state, tasks] of other.depth) this.moved(state, tasks);
    for (const [host, tasks] of other.waits) this.waited(host, tasks);
    for (const [job, tally] of other.tallies) {
      for (const what of ["completed", "failed", "cancelled", "letters"] as const) this.tally(job, what, tally[what]);
    }
    for (const action of other.afterCommit) this.afterCommit.push(action);
    for (const action of other.onceDurable) this.onceDurable.push(action);
  }
}

interface Member {
  readonly work: (changes: Changes) => void;
  readonly done: () => void;
  readonly fail: (error: unknown) => void;
}

interface Committed {
  readonly changes: Changes;
  readonly members: readonly Member[];
}

/** What makes commits durable that are not so by themselves. */
export interface CommitLog {
  /** Whether `now` is better than `begin`. */
  readonly isQuick: boolean;
  /** Makes all durable that is committed, while everything waits. @throws if nobody knows what is on the disk */
  now(): void;
  /** Makes all durable that is committed now, while work goes on; then tells, or what it failed with. One at a time. */
  begin(done: (error?: Error) => void): void;
}

export interface GroupCommitOptions {
  /** Makes commits durable; absent where each COMMIT does so itself. */
  readonly log?: CommitLog;
  /** How long a member waits for others, in milliseconds, unless it says otherwise. */
  readonly gatherMs: number;
  /** So many members commit at once. */
  readonly membersMax: number;
  /** Writes what the members changed together; the last thing before COMMIT. */
  readonly seal: (changes: Changes) => void;
  /** Told how long each commit took until it was durable, in milliseconds, and how many members it had. */
  readonly onCommit?: (durationMs: number, members: number) => void;
  /** Told what a commit as a whole threw. */
  readonly onFailed?: (error: unknown) => void;
}

/**
 * Lets concurrent writers share one transaction, and so one fsync. One that throws is rolled back and rejected alone.
 * If the commit itself fails, all of them are rejected and nothing is written. If it cannot be made durable, they are
 * rejected, too, and nobody knows whether it will be there.
 */
export class GroupCommit {
  readonly #db: Database;
  readonly #options: GroupCommitOptions;
  #waiting: Member[] = [];
  /** Committed, and perhaps not on the disk yet; in order. */
  #undurable: (Committed & { readonly startedAt: number })[] = [];
  #isSyncing = false;
  /** To be committed as soon as the sync is done. */
  #isDue = false;
  #halted: { readonly reason: unknown } | undefined;
  #timer: { readonly dueAt: number; readonly handle: ReturnType<typeof setTimeout> } | undefined;

  constructor(db: Database, options: GroupCommitOptions) {
    this.#db = db;
    this.#options = options;
  }

  /**
   * Resolves with what `work` returned, once it is on the disk. `work` runs later, synchronously, in the transaction; and
   * once more, after all was rolled back, if another member throws. It waits `gatherMs` for others, or less where another
   * waits less.
   */
  run<T>(work: (changes: Changes) => T, gatherMs = this.#options.gatherMs): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#halted !== undefined) return reject(this.#halted.reason);
      let result: T;
      this.#waiting.push({
        work: (changes) => {
          result = work(changes);
        },
        done: () => resolve(result),
        fail: reject,
      });
      if (this.#waiting.length >= this.#options.membersMax) this.#flushSoon();
      else this.#flushWithin(gatherMs);
    });
  }

  #flushWithin(ms: number): void {
    const dueAt = performance.now() + ms;
    if (this.#timer !== undefined) {
      if (this.#timer.dueAt <= dueAt) return;
      clearTimeout(this.#timer.handle);
    }
    this.#timer = { dueAt, handle: setTimeout(() => this.#flushSoon(), ms) };
  }

  /** While the disk is at work on the last commit, more gather for the next. */
  #flushSoon(): void {
    if (this.#isSyncing) this.#isDue = true;
    else this.flush();
  }

  /** Commits nothing more: whoever waits, or comes, is rejected; what is not durable yet is left in doubt. */
  halt(reason: unknown): void {
    clearTimeout(this.#timer?.handle);
    this.#halted ??= { reason };
    for (const { members } of this.#undurable.splice(0)) for (const member of members) member.fail(reason);
    for (const member of this.#waiting.splice(0)) member.fail(reason);
  }

  /**
   * Commits what waits, now; it is durable then, or soon.
   * @throws what an action after the commit threw; the commit and its members stand.
   */
  flush(): void {
    clearTimeout(this.#timer?.handle);
    this.#timer = undefined;
    this.#isDue = false;
    const members = this.#waiting;
    this.#waiting = [];
    if (members.length === 0) return;
    const startedAt = performance.now();
    let committed: Committed;
    try {
      committed = this.#commit(members);
    } catch (error) {
      for (const member of members) member.fail(error);
      this.#rollBack();
      this.#options.onFailed?.(error);
      return;
    }
    this.#undurable.push({ ...committed, startedAt });
    const { log } = this.#options;
    const makeDurable = () => (log === undefined || log.isQuick ? this.sync() : this.#syncBeside());
    runAll([...committed.changes.afterCommit, makeDurable]);
  }

  /** Makes what is committed durable, now, and tells who waits for it. @throws as `flush` */
  sync(): void {
    if (this.#undurable.length === 0) return;
    try {
      this.#options.log?.now();
    } catch (error) {
      return this.#leaveInDoubt(error);
    }
    this.#tell(this.#undurable.splice(0));
  }

  /** One sync at a time: what is committed meanwhile shares the next. */
  #syncBeside(): void {
    const last = this.#undurable.at(-1);
    if (this.#isSyncing || last === undefined) return;
    this.#isSyncing = true;
    this.#options.log?.begin((error) => {
      this.#isSyncing = false;
      if (error !== undefined) return this.#leaveInDoubt(error);
      // Nothing, where somebody had it synced at once.
      const durable = this.#undurable.splice(0, this.#undurable.indexOf(last) + 1);
      runAll([() => this.#tell(durable), () => this.#goOn()]);
    });
  }

  /** What came meanwhile, committed or not. */
  #goOn(): void {
    if (this.#isDue) this.flush();
    else this.#syncBeside();
  }

  /** Whatever a listener throws, the others and the members hear of it. */
  #tell(durable: readonly (Committed & { readonly startedAt: number })[]): void {
    const now = performance.now();
    runAll(
      durable.flatMap(({ changes, members, startedAt }) => [
        () => this.#options.onCommit?.(now - startedAt, members.length),
        ...changes.onceDurable,
        ...members.map(({ done }) => done),
      ]),
    );
  }

  #leaveInDoubt(error: unknown): void {
    for (const { members } of this.#undurable.splice(0)) for (const member of members) member.fail(error);
    this.#options.onFailed?.(error);
  }

  /** The next BEGIN fails, and tells, where this does not succeed. */
  #rollBack(): void {
    try {
      if (this.#db.inTransaction) this.#db.run("ROLLBACK");
    } catch {
      // The store is closed, or so broken that its members have heard of it.
    }
  }

  #commit(members: readonly Member[]): Committed {
    this.#statement("BEGIN IMMEDIATE");
    const committed = this.#together(members) ?? this.#oneByOne(members);
    this.#options.seal(committed.changes);
    this.#statement("COMMIT");
    return committed;
  }

  /** Nearly always all succeed, and need no savepoints. Nothing if one throws: then all is rolled back. */
  #together(members: readonly Member[]): Committed | undefined {
    const changes = new Changes();
    try {
      for (const member of members) member.work(changes);
      return { changes, members };
    } catch (error) {
      // A full disk or an I/O error ends the whole transaction by itself; then nobody's work is left.
      if (!this.#db.inTransaction) throw error;
      this.#statement("ROLLBACK");
      this.#statement("BEGIN IMMEDIATE");
      return undefined;
    }
  }

  /** Each in a savepoint of its own. */
  #oneByOne(members: readonly Member[]): Committed {
    const all = new Changes();
    const done: Member[] = [];
    for (const member of members) {
      const changes = this.#attempt(member);
      if (changes === undefined) continue;
      all.absorb(changes);
      done.push(member);
    }
    return { changes: all, members: done };
  }

  /** Prepared once, unlike by `db.run`. */
  #statement(sql: string): void {
    this.#db.query<never, []>(sql).run();
  }

  #attempt(member: Member): Changes | undefined {
    const changes = new Changes();
    this.#statement("SAVEPOINT member");
    try {
      member.work(changes);
      this.#statement("RELEASE member");
      return changes;
    } catch (error) {
      if (!this.#db.inTransaction) throw error;
      this.#db.run("ROLLBACK TO member");
      this.#db.run("RELEASE member");
      member.fail(error);
      return undefined;
    }
  }
}

/** Runs all actions. @throws what the first of those threw that failed */
function runAll(actions: readonly (() => void)[]): void {
  const failures: unknown[] = [];
  for (const action of actions) {
    try {
      action();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}
