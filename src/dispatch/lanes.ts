import type { Priority } from "../jobs/job.ts";
import type { Lane } from "../jobs/lane.ts";

/** Tasks that a job may start per turn. */
const WEIGHTS: Readonly<Record<Priority, number>> = { low: 1, normal: 4, high: 16 };

interface KnownLane {
  readonly id: number;
  readonly host: string;
  readonly bucket: string;
  readonly job: JobTurn;
  waiting: number;
  nextDue: number;
}

/** One job's lanes with due tasks, in the order in which they take their turns. */
interface JobTurn {
  readonly seq: number;
  readonly weight: number;
  readonly lanes: KnownLane[];
  /** Its lanes, sleeping ones included. */
  known: number;
}

/** How many more tasks may be taken now, by what they go to. */
export interface Limits {
  readonly ofHost: (host: string) => number;
  readonly ofBucket: (bucket: string) => number;
}

/** What is left of the limits while tasks are chosen. */
class Room {
  readonly #hosts = new Map<string, number>();
  readonly #buckets = new Map<string, number>();
  readonly #limits: Limits;

  constructor(hosts: Iterable<string>, limits: Limits) {
    this.#limits = limits;
    for (const host of hosts) {
      const free = limits.ofHost(host);
      if (free > 0) this.#hosts.set(host, free);
    }
  }

  /** False if no host has any. */
  get isLeft(): boolean {
    return this.#hosts.size > 0;
  }

  /** Takes up to `tasks`, and says how many that were. */
  take({ host, bucket }: Pick<KnownLane, "host" | "bucket">, tasks: number): number {
    const ofHost = this.#hosts.get(host) ?? 0;
    if (ofHost === 0) return 0;
    const ofBucket = this.#buckets.get(bucket) ?? this.#limits.ofBucket(bucket);
    const taken = Math.max(0, Math.min(tasks, ofHost, ofBucket));
    this.#buckets.set(bucket, ofBucket - taken);
    if (taken === ofHost) this.#hosts.delete(host);
    else this.#hosts.set(host, ofHost - taken);
    return taken;
  }
}

/**
 * The lanes that have waiting tasks: round-robin over jobs, weighted by priority, and within a job over its hosts.
 * A pure structure: it decides whose turn it is and does nothing about it.
 */
export class Lanes {
  readonly #lanes = new Map<number, KnownLane>();
  readonly #jobs = new Map<number, JobTurn>();
  /** Jobs with due lanes, the next one first. */
  readonly #turns: JobTurn[] = [];
  /** Lanes with nothing due yet. */
  readonly #sleeping = new Set<KnownLane>();
  /** Lower bound of when the first of them is due. */
  #earliest = Number.POSITIVE_INFINITY;
  /** How many lanes are awake, by host. */
  readonly #hosts = new Map<string, number>();

  get size(): number {
    return this.#lanes.size;
  }

  has(id: number): boolean {
    return this.#lanes.has(id);
  }

  /** Forgets the lanes that have nothing due: they can be read again. */
  dropSleepers(): void {
    for (const lane of this.#sleeping) this.#remove(lane);
    this.#earliest = Number.POSITIVE_INFINITY;
  }

  /** Takes in what a lane holds now. */
  set(lane: Lane, now: number): void {
    const known = this.#lanes.get(lane.id);
    if (lane.waiting === 0) {
      if (known !== undefined) this.#remove(known);
      return;
    }
    if (known === undefined) {
      const added: KnownLane = {
        id: lane.id,
        host: lane.host,
        bucket: lane.bucket,
        job: this.#turnOf(lane),
        waiting: lane.waiting,
        nextDue: lane.nextDue,
      };
      this.#lanes.set(lane.id, added);
      added.job.known++;
      this.#addSleeper(added);
      if (lane.nextDue <= now) this.#wake(added);
      return;
    }
    known.waiting = lane.waiting;
    known.nextDue = lane.nextDue;
    if (this.#sleeping.has(known)) {
      this.#addSleeper(known);
      if (lane.nextDue <= now) this.#wake(known);
    } else if (lane.nextDue > now) {
      this.#sleep(known);
    }
  }

  /**
   * Chooses up to `count` tasks by lane, as `lane id → tasks`; `limits` say how many more tasks of a host and of a
   * bucket may be taken. What is chosen counts as gone until `set` tells otherwise.
   */
  choose(count: number, limits: Limits, now: number): Map<number, number> {
    this.#wakeDue(now);
    const chosen = new Map<number, number>();
    const room = new Room(this.#hosts.keys(), limits);
    let idleTurns = 0;
    while (count > 0 && room.isLeft && idleTurns < this.#turns.length) {
      const turn = this.#turns.shift();
      if (turn === undefined) break;
      const taken = this.#takeTurn(turn, Math.min(turn.weight, count), room, chosen);
      if (turn.lanes.length > 0) this.#turns.push(turn);
      count -= taken;
      idleTurns = taken === 0 ? idleTurns + 1 : 0;
    }
    return chosen;
  }

  /** No sleeping lane is due earlier; `undefined` if none sleeps. */
  nextDue(): number | undefined {
    return this.#earliest === Number.POSITIVE_INFINITY ? undefined : this.#earliest;
  }

  #takeTurn(turn: JobTurn, count: number, room: Room, chosen: Map<number, number>): number {
    let taken = 0;
    for (let looked = turn.lanes.length; looked > 0 && taken < count; looked--) {
      const lane = turn.lanes.shift();
      if (lane === undefined) break;
      turn.lanes.push(lane);
      const tasks = room.take(lane, Math.min(lane.waiting, this.#share(turn, count - taken)));
      if (tasks === 0) continue;
      chosen.set(lane.id, (chosen.get(lane.id) ?? 0) + tasks);
      lane.waiting -= tasks;
      if (lane.waiting === 0) this.#sleep(lane);
      taken += tasks;
    }
    return taken;
  }

  /** A job's turn goes evenly to its hosts. */
  #share(turn: JobTurn, tasks: number): number {
    return Math.max(1, Math.floor(tasks / turn.lanes.length));
  }

  #turnOf(lane: Lane): JobTurn {
    let turn = this.#jobs.get(lane.job.seq);
    if (turn === undefined) {
      turn = { seq: lane.job.seq, weight: WEIGHTS[lane.job.priority], lanes: [], known: 0 };
      this.#jobs.set(lane.job.seq, turn);
    }
    return turn;
  }

  #wakeDue(now: number): void {
    if (now < this.#earliest) return;
    this.#earliest = Number.POSITIVE_INFINITY;
    for (const lane of this.#sleeping) {
      if (lane.waiting === 0) continue;
      if (lane.nextDue <= now) this.#wake(lane);
      else this.#earliest = Math.min(this.#earliest, lane.nextDue);
    }
  }

  #addSleeper(lane: KnownLane): void {
    this.#sleeping.add(lane);
    if (lane.waiting > 0) this.#earliest = Math.min(this.#earliest, lane.nextDue);
  }

  #wake(lane: KnownLane): void {
    this.#sleeping.delete(lane);
    this.#hosts.set(lane.host, (this.#hosts.get(lane.host) ?? 0) + 1);
    if (lane.job.lanes.length === 0) this.#turns.push(lane.job);
    lane.job.lanes.push(lane);
  }

  #sleep(lane: KnownLane): void {
    this.#addSleeper(lane);
    const others = (this.#hosts.get(lane.host) ?? 1) - 1;
    if (others === 0) this.#hosts.delete(lane.host);
    else this.#hosts.set(lane.host, others);
    lane.job.lanes.splice(lane.job.lanes.indexOf(lane), 1);
    if (lane.job.lanes.length > 0) return;
    const turn = this.#turns.indexOf(lane.job);
    if (turn >= 0) this.#turns.splice(turn, 1);
  }

  #remove(lane: KnownLane): void {
    if (!this.#sleeping.has(lane)) this.#sleep(lane);
    this.#sleeping.delete(lane);
    this.#lanes.delete(lane.id);
    if (--lane.job.known === 0) this.#jobs.delete(lane.job.seq);
  }
}
