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

/** The changes of one member of a commit, gathered so that the commit writes them once for all its members. */
export class Changes {
  readonly events: Event[] = [];
  readonly depth = new Map<WaitingState, number>();
  /** By host. */
  readonly waits = new Map<string, number>();
  /** True when a lane was recounted: the error of `waits` is then unknown. */
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

  /** Tasks started (positive) or stopped (negative) waiting for a host. */
  waited(host: string, tasks: number): void {
    this.waits.set(host, (this.waits.get(host) ?? 0) + tasks);
  }

  /** Tasks of a job ended, or its number of dead letters changed. */
  addCount(job: number, counter: keyof CounterChange, by = 1): void {
    const change = this.counts.get(job) ?? { completed: 0, failed: 0, cancelled: 0, letters: 0 };
    change[counter] += by;
    this.counts.set(job, change);
  }

  absorb(other: Changes): void {
    for (const event of other.events) this.events.push(event);
    for (const [state, tasks] of other.depth) this.stateChanged(state, tasks);
    for (const [host, tasks] of other.waits) this.waited(host, tasks);
    this.laneDrifted ||= other.laneDrifted;
    for (const [job, change] of other.counts) {
      for (const counter of ["completed", "failed", "cancelled", "letters"] as const)
        this.addCount(job, counter, change[counter]);
    }
    for (const phase of EFFECT_PHASES) for (const effect of other.#effects[phase]) this.after(phase, effect);
  }
}

interface Member {
  readonly work: (changes: Changes) => void;
  readonly done: () => void;
  readonly fail: (error: unknown) => void;
}

/** A cache of rows that a transaction read. They are valid only after its commit. */
export interface TransactionCache {
  /** Called when the transaction is committed. */
  keep(): void;
  /** Called when the transaction, or a savepoint in it, was rolled back: rows read since BEGIN are invalid. */
  discard(): void;
}

export interface GroupCommitOptions {
  /** Default time that a member waits for others, in milliseconds. */
  readonly gatherMs: number;
  /** A commit starts when it has this number of members. */
  readonly membersMax: number;
  /** Writes the combined changes of the members, as the last step before COMMIT. */
  readonly seal: (changes: Changes) => void;
  readonly cache?: TransactionCache;
  /** Called after each commit with its duration in milliseconds and its number of members. */
  readonly onCommit?: (durationMs: number, members: number) => void;
  /** Called with the error of a commit that failed as a whole. */
  readonly onFailed?: (error: unknown) => void;
}

/**
 * Lets concurrent writers share one transaction and its fsync. A member that throws is rolled back and rejected alone.
 * If the commit itself fails, every member is rejected and no change is written.
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
   * Resolves to the result of `work` when its changes are on the disk. `work` runs later, synchronously, in the
   * transaction. It runs once more if another member throws, after a rollback. The commit starts after the shortest
   * `gatherMs` of its members.
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

  /** Ends all commits: it rejects waiting members and every later one. */
  halt(reason: unknown): void {
    clearTimeout(this.#timer?.handle);
    this.#halted ??= { reason };
    for (const member of this.#waiting.splice(0)) member.fail(reason);
  }

  /** Rejects new members until `resume`. */
  hold(reason: unknown): void {
    this.#held = { reason };
  }

  resume(): void {
    this.#held = undefined;
  }

  /** The reason why new members are rejected for now; `undefined` if they are accepted. */
  get heldBy(): unknown {
    return this.#held?.reason;
  }

  /** Commits waiting members at once. @throws the error of an effect after the commit; the commit itself stands. */
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
    // The commit stands: an effect that throws must not keep the others and the members from their calls.
    const failures = runAll([
      () => this.#options.onCommit?.(durationMs, members.length),
      ...committed.changes.effects,
      ...committed.members.map(({ done }) => done),
    ]);
    if (failures.length > 0) throw failures[0];
  }

  /** Rolls back. If that fails, the next BEGIN reports it. */
  #rollBack(): void {
    try {
      if (this.#db.inTransaction) this.#db.run("ROLLBACK");
    } catch {
      // The store is closed or broken; its members have been rejected.
    }
  }

  #commit(members: readonly Member[]): { changes: Changes; members: readonly Member[] } {
    this.#statement("BEGIN IMMEDIATE");
    const committed = this.#together(members) ?? this.#oneByOne(members);
    this.#options.seal(committed.changes);
    this.#statement("COMMIT");
    return committed;
  }

  /** Runs all members without savepoints, since they rarely fail. `undefined` if one throws: all is rolled back. */
  #together(members: readonly Member[]): { changes: Changes; members: readonly Member[] } | undefined {
    const changes = new Changes();
    try {
      for (const member of members) member.work(changes);
      return { changes, members };
    } catch (error) {
      // A full disk or an I/O error ends the whole transaction, so that no member's changes are left.
      if (!this.#db.inTransaction) throw error;
      this.#statement("ROLLBACK");
      this.#options.cache?.discard();
      this.#statement("BEGIN IMMEDIATE");
      return undefined;
    }
  }

  /** Runs each member in its own savepoint. */
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

  /** Runs a cached statement; `db.run` would prepare it each time. */
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

/** Runs all actions and returns their errors. */
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
