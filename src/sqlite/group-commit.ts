import type { Database } from "bun:sqlite";
import type { Event } from "../gen/fetchbox/v1/event.ts";
import type { JobCounters } from "../jobs/job.ts";
import type { TaskState } from "../jobs/task.ts";

/** How a job's counters change. */
export type CounterChange = { -readonly [K in keyof Omit<JobCounters, "total">]: number } & { letters: number };
type WaitingState = Extract<TaskState, "pending" | "running" | "retrying">;

/**
 * The order in which a commit takes effect in the process: first caches of rows, then the memory of its parts, the
 * outbox among them, and last the listeners, who may read both.
 */
const EFFECT_PHASES = ["cache", "memory", "notify"] as const;
type EffectPhase = (typeof EFFECT_PHASES)[number];

/** What one member of a commit changed, gathered so that the commit writes it once for all its members. */
export class Changes {
  readonly events: Event[] = [];
  readonly depth = new Map<WaitingState, number>();
  /** By host. */
  readonly waits = new Map<string, number>();
  /** A lane was counted anew: by how much `waits` is wrong nobody knows. */
  laneDrifted = false;
  readonly counts = new Map<number, CounterChange>();
  readonly #effects: Readonly<Record<EffectPhase, (() => void)[]>> = { cache: [], memory: [], notify: [] };

  /** Runs `effect` once the commit is on the disk, and never if it fails. */
  after(phase: EffectPhase, effect: () => void): void {
    this.#effects[phase].push(effect);
  }

  /** All effects in the order of their phases. */
  get effects(): (() => void)[] {
    return EFFECT_PHASES.flatMap((phase) => this.#effects[phase]);
  }

  /** Tasks entered (positive) or left (negative) a state that is not final. */
  stateChanged(state: WaitingState, tasks: number): void {
    this.depth.set(state, (this.depth.get(state) ?? 0) + tasks);
  }

  /** Tasks came to wait for a host (positive), or wait no longer (negative). */
  waited(host: string, tasks: number): void {
    this.waits.set(host, (this.waits.get(host) ?? 0) + tasks);
  }

  /** Tasks of a job ended, or dead letters of it came (positive) or went (negative). */
  addCount(job: number, what: keyof CounterChange, by = 1): void {
    const tally = this.counts.get(job) ?? { completed: 0, failed: 0, cancelled: 0, letters: 0 };
    tally[what] += by;
    this.counts.set(job, tally);
  }

  absorb(other: Changes): void {
    for (const event of other.events) this.events.push(event);
    for (const [state, tasks] of other.depth) this.stateChanged(state, tasks);
    for (const [host, tasks] of other.waits) this.waited(host, tasks);
    this.laneDrifted ||= other.laneDrifted;
    for (const [job, tally] of other.counts) {
      for (const what of ["completed", "failed", "cancelled", "letters"] as const)
        this.addCount(job, what, tally[what]);
    }
    for (const phase of EFFECT_PHASES) for (const effect of other.#effects[phase]) this.after(phase, effect);
  }
}

interface Member {
  readonly work: (changes: Changes) => void;
  readonly done: () => void;
  readonly fail: (error: unknown) => void;
}

/** Memory of what was read inside a transaction, which is true only once that is committed. */
export interface TransactionCache {
  /** The transaction is committed. */
  keep(): void;
  /** The transaction, or a savepoint of it, was rolled back: nothing that was read since BEGIN counts. */
  discard(): void;
}

export interface GroupCommitOptions {
  /** How long a member waits for others, in milliseconds, unless it says otherwise. */
  readonly gatherMs: number;
  /** So many members commit at once. */
  readonly membersMax: number;
  /** Writes what the members changed together; the last thing before COMMIT. */
  readonly seal: (changes: Changes) => void;
  readonly cache?: TransactionCache;
  /** Told how long each commit took, in milliseconds, and how many members it had. */
  readonly onCommit?: (durationMs: number, members: number) => void;
  /** Told what a commit as a whole threw. */
  readonly onFailed?: (error: unknown) => void;
}

/**
 * Lets concurrent writers share one transaction, and so one fsync. One that throws is rolled back and rejected alone.
 * If the commit itself fails, all of them are rejected and nothing is written.
 */
export class GroupCommit {
  readonly #db: Database;
  readonly #options: GroupCommitOptions;
  #waiting: Member[] = [];
  #halted: { readonly reason: unknown } | undefined;
  #held: { readonly reason: unknown } | undefined;
  #timer: { readonly dueAt: number; readonly handle: ReturnType<typeof setTimeout> } | undefined;

  constructor(db: Database, options: GroupCommitOptions) {
    this.#db = db;
    this.#options = options;
  }

  /**
   * Resolves with what `work` returned, once it is on the disk. `work` runs later, synchronously, in the transaction;
   * and once more, after all was rolled back, if another member throws. It waits `gatherMs` for others, or less where
   * another waits less.
   */
  run<T>(work: (changes: Changes) => T, gatherMs = this.#options.gatherMs): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const refused = this.#halted ?? this.#held;
      if (refused !== undefined) return reject(refused.reason);
      let result: T;
      this.#waiting.push({
        work: (changes) => {
          result = work(changes);
        },
        done: () => resolve(result),
        fail: reject,
      });
      if (this.#waiting.length >= this.#options.membersMax) this.flush();
      else this.#flushWithin(gatherMs);
    });
  }

  #flushWithin(ms: number): void {
    const dueAt = performance.now() + ms;
    if (this.#timer !== undefined) {
      if (this.#timer.dueAt <= dueAt) return;
      clearTimeout(this.#timer.handle);
    }
    this.#timer = { dueAt, handle: setTimeout(() => this.flush(), ms) };
  }

  /** Commits nothing more: whoever waits, or comes, is rejected. */
  halt(reason: unknown): void {
    clearTimeout(this.#timer?.handle);
    this.#halted ??= { reason };
    for (const member of this.#waiting.splice(0)) member.fail(reason);
  }

  /** Rejects whoever comes, until `resume`. */
  hold(reason: unknown): void {
    this.#held = { reason };
  }

  resume(): void {
    this.#held = undefined;
  }

  /** Why whoever comes is rejected for now; `undefined` if nobody is. */
  get heldBy(): unknown {
    return this.#held?.reason;
  }

  /** Commits what waits, now. @throws what an action after the commit threw; the commit and its members stand. */
  flush(): void {
    clearTimeout(this.#timer?.handle);
    this.#timer = undefined;
    const members = this.#waiting;
    this.#waiting = [];
    if (members.length === 0) return;
    const startedAt = performance.now();
    let committed: { changes: Changes; members: readonly Member[] };
    try {
      committed = this.#commit(members);
      this.#options.cache?.keep();
    } catch (error) {
      this.#options.cache?.discard();
      for (const member of members) member.fail(error);
      this.#rollBack();
      this.#options.onFailed?.(error);
      return;
    }
    const durationMs = performance.now() - startedAt;
    // It is on the disk: whatever a listener throws, the others and the members hear of it.
    const failures = runAll([
      () => this.#options.onCommit?.(durationMs, members.length),
      ...committed.changes.effects,
      ...committed.members.map(({ done }) => done),
    ]);
    if (failures.length > 0) throw failures[0];
  }

  /** The next BEGIN fails, and tells, where this does not succeed. */
  #rollBack(): void {
    try {
      if (this.#db.inTransaction) this.#db.run("ROLLBACK");
    } catch {
      // The store is closed, or so broken that its members have heard of it.
    }
  }

  #commit(members: readonly Member[]): { changes: Changes; members: readonly Member[] } {
    this.#statement("BEGIN IMMEDIATE");
    const committed = this.#together(members) ?? this.#oneByOne(members);
    this.#options.seal(committed.changes);
    this.#statement("COMMIT");
    return committed;
  }

  /** Nearly always all succeed, and need no savepoints. Nothing if one throws: then all is rolled back. */
  #together(members: readonly Member[]): { changes: Changes; members: readonly Member[] } | undefined {
    const changes = new Changes();
    try {
      for (const member of members) member.work(changes);
      return { changes, members };
    } catch (error) {
      // A full disk or an I/O error ends the whole transaction by itself; then nobody's work is left.
      if (!this.#db.inTransaction) throw error;
      this.#statement("ROLLBACK");
      this.#options.cache?.discard();
      this.#statement("BEGIN IMMEDIATE");
      return undefined;
    }
  }

  /** Each in a savepoint of its own. */
  #oneByOne(members: readonly Member[]): { changes: Changes; members: Member[] } {
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
      this.#options.cache?.discard();
      this.#db.run("RELEASE member");
      member.fail(error);
      return undefined;
    }
  }
}

/** Runs all actions, and says what those that failed threw. */
function runAll(actions: readonly (() => void)[]): unknown[] {
  const failures: unknown[] = [];
  for (const action of actions) {
    try {
      action();
    } catch (error) {
      failures.push(error);
    }
  }
  return failures;
}
