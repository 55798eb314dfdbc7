import { isSuspect } from "../jobs/crash-limit.ts";
import type { ClaimedTask } from "../jobs/task.ts";
import { DueHeap } from "./due-heap.ts";

/** Entries of the heap that may be out of date before it is rebuilt. */
const STALE_MAX = 1000;

interface Entry {
  readonly turn: number;
  readonly claimed: ClaimedTask;
}

/** The tasks of one host, first in first out. */
interface Line {
  readonly host: string;
  entries: Entry[];
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

/** Claimed tasks that wait for a permit of their host: a first-in-first-out line per host, and a heap of the lines. */
export class Window {
  readonly #lines = new Map<string, Line>();
  /** Lines by the turn of their first task; an entry that is out of date is skipped or put right. */
  readonly #heads = new DueHeap<Line>();
  readonly #byBucket = new Map<string, number>();
  readonly #byJob = new Map<number, number>();
  #suspects = 0;
  #size = 0;
  #turns = 0;

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

  ofHost(host: string): number {
    return this.#lines.get(host)?.entries.length ?? 0;
  }

  ofBucket(bucket: string): number {
    return this.#byBucket.get(bucket) ?? 0;
  }

  push(claimed: ClaimedTask): void {
    const entry = { turn: this.#turns++, claimed };
    const line = this.#lines.get(claimed.host);
    if (line === undefined) {
      const added = { host: claimed.host, entries: [entry] };
      this.#lines.set(claimed.host, added);
      this.#heads.push(entry.turn, added);
    } else {
      line.entries.push(entry);
    }
    this.#count(claimed, 1);
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
      if (entry !== undefined) this.#left(line, entry.claimed);
      this.#standAgain(line);
      if (entry !== undefined) send(entry.claimed);
    }
    for (const line of full) this.#standAgain(line);
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

  #takeFirstLine(): Line | undefined {
    for (let first = this.#heads.first; first !== undefined; first = this.#heads.first) {
      const { due, item: line } = first;
      this.#heads.pop();
      if (line.entries[0]?.turn === due) return line;
      this.#standAgain(line);
    }
    return undefined;
  }

  /** Entries that are out of date must not pile up while nothing can be sent. */
  #rebuildHeads(): void {
    this.#heads.clear();
    for (const line of this.#lines.values()) this.#standAgain(line);
  }

  #standAgain(line: Line): void {
    const [first] = line.entries;
    if (first !== undefined) this.#heads.push(first.turn, line);
  }

  #left(line: Line, claimed: ClaimedTask): void {
    this.#count(claimed, -1);
    if (line.entries.length === 0) this.#lines.delete(line.host);
  }

  #count(claimed: ClaimedTask, change: 1 | -1): void {
    this.#size += change;
    add(this.#byBucket, claimed.task.bucket, change);
    add(this.#byJob, claimed.job.seq, change);
    if (isSuspect(claimed)) this.#suspects += change;
  }
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
