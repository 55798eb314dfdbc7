import { isSuspect } from "../jobs/crash-limit.ts";
import type { ClaimedTask } from "../jobs/task.ts";
import { DueHeap } from "./due-heap.ts";
import { obtain, WEIGHTS } from "./known-lane.ts";

/** Entries of the heap that may be out of date before it is rebuilt. */
const STALE_MAX = 1000;

interface Entry {
  readonly turn: number;
  readonly claimed: ClaimedTask;
}

/** The tasks of one host by their turns. */
interface Line {
  readonly host: string;
  entries: Entry[];
  /** The turn under which the line stands in the heap; another entry of it there is out of date. */
  head: number | undefined;
}

/** The tasks of one job. */
interface Share {
  tasks: number;
  /** The turn of the latest one. */
  turn: number;
}

/** How to send tasks on. */
interface Outlet {
  /** Whether another task can be sent. */
  readonly isOpen: () => boolean;
  /** Whether a task of the host may start now. */
  readonly hasRoom: (host: string) => boolean;
  /** Sends a task that has left the window. */
  readonly send: (claimed: ClaimedTask) => void;
}

/**
 * Claimed tasks that wait for a permit of their host: a line per host, and a heap of the lines.
 *
 * Jobs share the turns by their weights: the tasks of a job stand 1 / weight apart, from the turn that was sent last.
 * The first tasks of a new job thus come at once, however many of another job are there (start-time fair queueing,
 * Goyal, Vin and Cheng 1996).
 */
export class Window {
  readonly #lines = new Map<string, Line>();
  /** Lines by the turn of their first task. */
  readonly #heads = new DueHeap<Line>();
  readonly #byBucket = new Map<string, number>();
  readonly #byJob = new Map<number, Share>();
  #suspects = 0;
  #size = 0;
  /** The latest turn of a task that was sent. */
  #sentTurn = 0;

  get size(): number {
    return this.#size;
  }

  /** Tasks among them that may have crashed the process. */
  get suspects(): number {
    return this.#suspects;
  }

  hosts(): Iterable<string> {
    return this.#lines.keys();
  }

  buckets(): Iterable<string> {
    return this.#byBucket.keys();
  }

  jobs(): Iterable<number> {
    return this.#byJob.keys();
  }

  hasJob(job: number): boolean {
    return this.#byJob.has(job);
  }

  ofHost(host: string): number {
    return this.#lines.get(host)?.entries.length ?? 0;
  }

  ofBucket(bucket: string): number {
    return this.#byBucket.get(bucket) ?? 0;
  }

  push(claimed: ClaimedTask): void {
    this.#count(claimed, 1);
    const turn = this.#nextTurn(claimed);
    const line = obtain(this.#lines, claimed.host, (host): Line => ({ host, entries: [], head: undefined }));
    const after = line.entries.findLastIndex((entry) => entry.turn <= turn);
    line.entries.splice(after + 1, 0, { turn, claimed });
    this.#stand(line);
    if (this.#heads.size > 2 * this.#lines.size + STALE_MAX) this.#rebuildHeads();
  }

  /** Sends tasks in the order of their turns, those of a host that has no room excepted. */
  send({ isOpen, hasRoom, send }: Outlet): void {
    const full: Line[] = [];
    while (isOpen()) {
      const line = this.#takeFirstLine();
      if (line === undefined) break;
      if (!hasRoom(line.host)) {
        full.push(line);
        continue;
      }
      const entry = line.entries.shift();
      if (entry === undefined) continue;
      this.#sentTurn = Math.max(this.#sentTurn, entry.turn);
      this.#left(line, entry.claimed);
      this.#stand(line);
      send(entry.claimed);
    }
    for (const line of full) this.#stand(line);
  }

  /** The first task in the order of turns for which it is true; it stays. */
  find(isWanted: (claimed: ClaimedTask) => boolean): ClaimedTask | undefined {
    const found = [...this.#lines.values()].flatMap(
      ({ entries }) => entries.find(({ claimed }) => isWanted(claimed)) ?? [],
    );
    return found.toSorted((a, b) => a.turn - b.turn)[0]?.claimed;
  }

  /** Takes out all tasks for which it is true, in the order of their turns. */
  takeWhere(isUnwanted: (claimed: ClaimedTask) => boolean): ClaimedTask[] {
    const taken: Entry[] = [];
    for (const line of this.#lines.values()) {
      const { entries } = line;
      const out = entries.filter(({ claimed }) => isUnwanted(claimed));
      if (out.length === 0) continue;
      line.entries = entries.filter((entry) => !out.includes(entry));
      for (const entry of out) this.#left(line, entry.claimed);
      taken.push(...out);
    }
    return taken.toSorted((a, b) => a.turn - b.turn).map(({ claimed }) => claimed);
  }

  /** Takes out tasks of a host, the last ones. */
  takeLast(host: string, count: number): ClaimedTask[] {
    const line = this.#lines.get(host);
    if (line === undefined) return [];
    const taken = line.entries.splice(Math.max(0, line.entries.length - count));
    for (const { claimed } of taken) this.#left(line, claimed);
    return taken.map(({ claimed }) => claimed);
  }

  #nextTurn({ job }: ClaimedTask): number {
    const share = obtain(this.#byJob, job.seq, newShare);
    share.turn = Math.max(share.turn, this.#sentTurn) + 1 / WEIGHTS[job.priority];
    return share.turn;
  }

  #takeFirstLine(): Line | undefined {
    for (let first = this.#heads.first; first !== undefined; first = this.#heads.first) {
      const { due, item: line } = first;
      this.#heads.pop();
      if (line.head !== due) continue;
      line.head = undefined;
      if (line.entries[0]?.turn === due) return line;
      this.#stand(line);
    }
    return undefined;
  }

  /** Entries that are out of date must not pile up while nothing can be sent. */
  #rebuildHeads(): void {
    this.#heads.clear();
    for (const line of this.#lines.values()) {
      line.head = undefined;
      this.#stand(line);
    }
  }

  #stand(line: Line): void {
    const [first] = line.entries;
    if (first === undefined || first.turn === line.head) return;
    line.head = first.turn;
    this.#heads.push(first.turn, line);
  }

  #left(line: Line, claimed: ClaimedTask): void {
    this.#count(claimed, -1);
    if (line.entries.length === 0) this.#lines.delete(line.host);
  }

  #count(claimed: ClaimedTask, change: 1 | -1): void {
    this.#size += change;
    add(this.#byBucket, claimed.task.bucket, change);
    const share = obtain(this.#byJob, claimed.job.seq, newShare);
    share.tasks += change;
    if (share.tasks <= 0) this.#byJob.delete(claimed.job.seq);
    if (isSuspect(claimed)) this.#suspects += change;
  }
}

function newShare(): Share {
  return { tasks: 0, turn: 0 };
}

function add<K>(counts: Map<K, number>, name: K, change: number): void {
  const count = (counts.get(name) ?? 0) + change;
  if (count <= 0) counts.delete(name);
  else counts.set(name, count);
}

export const NONE: ReadonlySet<never> = new Set<never>();

/** The names for which it is true: nearly always none. */
export function those<K>(names: Iterable<K>, isSo: (name: K) => boolean): ReadonlySet<K> {
  let found: Set<K> | undefined;
  for (const name of names) if (isSo(name)) (found ??= new Set()).add(name);
  return found ?? NONE;
}
