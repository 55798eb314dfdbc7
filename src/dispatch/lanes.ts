import type { Priority } from "../jobs/job.ts";
import type { Lane } from "../jobs/lane.ts";

/** Tasks that a job may start per turn: so many that a claim is worth its query, so few that nobody waits long. */
const WEIGHTS: Readonly<Record<Priority, number>> = { low: 4, normal: 16, high: 64 };

interface KnownLane {
  readonly id: number;
  readonly host: string;
  readonly bucket: string;
  readonly job: JobTurn;
  waiting: number;
  nextDue: number;
}

/** One job's turn: so many tasks of its lanes with due tasks, one lane after the other. */
interface JobTurn {
  readonly seq: number;
  readonly weight: number;
  /** Tasks that its turn has left. What it cannot take now, because its hosts are busy, it may take later. */
  left: number;
  readonly lanes: KnownLane[];
  /** Index of the lane whose turn it is. */
  next: number;
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

  /** True where a bucket takes no more now: it is closed, and what was taken last is its probe. */
  isExhausted(bucket: string): boolean {
    return this.#buckets.get(bucket) === 0;
  }

  /** Takes one task's room. False if there is none. */
  take({ host, bucket }: Pick<KnownLane, "host" | "bucket">): boolean {
    const ofHost = this.#hosts.get(host) ?? 0;
    if (ofHost <= 0) return false;
    const ofBucket = this.#buckets.get(bucket) ?? this.#limits.ofBucket(bucket);
    this.#buckets.set(bucket, ofBucket <= 0 ? 0 : ofBucket - 1);
    if (ofBucket <= 0) return false;
    if (ofHost <= 1) this.#hosts.delete(host);
    else this.#hosts.set(host, ofHost - 1);
    return true;
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
      if (lane.nextDue <= now) this.#wake(added);
      else this.#addSleeper(added);
      return;
    }
    known.waiting = lane.waiting;
    known.nextDue = lane.nextDue;
    if (this.#sleeping.has(known)) {
      if (lane.nextDue <= now) this.#wake(known);
      else this.#addSleeper(known);
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
    let at = 0;
    while (count > 0 && room.isLeft) {
      const turn = this.#turns[at];
      if (turn === undefined) break;
      const taken = this.#takeTurn(turn, Math.min(turn.left, count), room, chosen);
      count -= taken;
      turn.left -= taken;
      if (turn.lanes.length === 0) continue; // nothing of it is due any more: it left the line
      if (turn.left === 0) this.#endTurn(at);
      else at++; // it keeps its place, or a busy host would make all priorities alike
    }
    return chosen;
  }

  /** No sleeping lane is due earlier; `undefined` if none sleeps. */
  nextDue(): number | undefined {
    return this.#earliest === Number.POSITIVE_INFINITY ? undefined : this.#earliest;
  }

  /** Takes up to `count` tasks of a job, one of each lane in turn, and says how many that were. */
  #takeTurn(turn: JobTurn, count: number, room: Room, chosen: Map<number, number>): number {
    let taken = 0;
    let idle = 0;
    let isProbing = false;
    while (taken < count && idle < turn.lanes.length) {
      const at = turn.next % turn.lanes.length;
      turn.next = at + 1;
      const lane = turn.lanes[at];
      if (lane === undefined || !room.take(lane)) {
        idle++;
        continue;
      }
      idle = 0;
      taken++;
      chosen.set(lane.id, (chosen.get(lane.id) ?? 0) + 1);
      lane.waiting--;
      if (lane.waiting === 0) this.#sleep(lane);
      isProbing ||= room.isExhausted(lane.bucket);
    }
    // The next probe of a closed bucket is another job's: this one's objects may be what it does not take.
    if (isProbing) turn.left = taken;
    return taken;
  }

  #endTurn(at: number): void {
    for (const turn of this.#turns.splice(at, 1)) {
      turn.left = turn.weight;
      this.#turns.push(turn);
    }
  }

  #turnOf(lane: Lane): JobTurn {
    let turn = this.#jobs.get(lane.job.seq);
    if (turn === undefined) {
      const weight = WEIGHTS[lane.job.priority];
      turn = { seq: lane.job.seq, weight, left: weight, lanes: [], next: 0, known: 0 };
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
    if (lane.job.lanes.length === 0) {
      lane.job.left = lane.job.weight;
      this.#turns.push(lane.job);
    }
    lane.job.lanes.push(lane);
  }

  #sleep(lane: KnownLane): void {
    this.#addSleeper(lane);
    const others = (this.#hosts.get(lane.host) ?? 1) - 1;
    if (others === 0) this.#hosts.delete(lane.host);
    else this.#hosts.set(lane.host, others);
    const at = lane.job.lanes.indexOf(lane);
    lane.job.lanes.splice(at, 1);
    if (at < lane.job.next) lane.job.next--;
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
