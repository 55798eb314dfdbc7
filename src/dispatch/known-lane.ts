import type { Priority } from "../jobs/job.ts";

/** Tasks that a job may start per turn: enough to be worth a query, few enough that others wait briefly. */
export const WEIGHTS: Readonly<Record<Priority, number>> = { low: 4, normal: 16, high: 64 };

/** A host or a bucket. While it has no room, its lanes stand in line, first in first out. */
export interface Gate {
  readonly name: string;
  /** Created when the first lane has to wait. */
  line: Set<KnownLane> | undefined;
  /** By the steady clock; `undefined` while lanes pass. */
  heldUntil: number | undefined;
}

export interface HostGate extends Gate {
  /** Lanes in memory. */
  readonly lanes: Record<Priority, number>;
  /** Whether a lane was left out because there were too many of this host. */
  isMissingLanes: boolean;
}

export interface KnownLane {
  readonly id: number;
  readonly host: HostGate;
  readonly bucket: Gate;
  readonly job: JobTurn;
  waiting: number;
  nextDue: number;
  /** The set that the lane stands in: ready lanes of its job, a gate's line, or the sleepers. */
  place: Set<KnownLane>;
}

/** One job's turn: a number of tasks from its ready lanes, one lane after the other. */
export interface JobTurn {
  readonly seq: number;
  readonly priority: Priority;
  /** Tasks left of its turn. A task that cannot start now, because its host is busy, may start later. */
  left: number;
  readonly ready: Set<KnownLane>;
  /** The lane whose turn is next; a change of the set does not disturb the iterator. */
  next: Iterator<KnownLane>;
  /** All its lanes in memory. */
  readonly lanes: Set<KnownLane>;
}

export function newTurn(seq: number, priority: Priority): JobTurn {
  const ready = new Set<KnownLane>();
  return { seq, priority, left: WEIGHTS[priority], ready, next: ready.values(), lanes: new Set() };
}

export function bucketGate(name: string): Gate {
  return { name, line: undefined, heldUntil: undefined };
}

export function hostGate(name: string): HostGate {
  return { ...bucketGate(name), lanes: { low: 0, normal: 0, high: 0 }, isMissingLanes: false };
}

export function isHost(gate: Gate): gate is HostGate {
  return "lanes" in gate;
}

/** The ready lane whose turn it is: after the last one, the first one again. There is at least one. */
export function nextOf(turn: JobTurn): KnownLane {
  const { value, done } = turn.next.next();
  if (done !== true) return value;
  turn.next = turn.ready.values();
  return turn.next.next().value as KnownLane;
}

/** The entry of a name; created when there is none. */
export function obtain<K, V>(entries: Map<K, V>, name: K, create: (name: K) => V): V {
  const known = entries.get(name);
  if (known !== undefined) return known;
  const created = create(name);
  entries.set(name, created);
  return created;
}
