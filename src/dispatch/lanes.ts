import type { Priority } from "../jobs/job.ts";
import type { Lane } from "../jobs/lane.ts";
import { DueHeap } from "./due-heap.ts";

/** Tasks that a job may start per turn: so many that a claim is worth its query, so few that nobody waits long. */
const WEIGHTS: Readonly<Record<Priority, number>> = { low: 4, normal: 16, high: 64 };
/** One choice looks at no more jobs and lanes than this: less than a millisecond. The next one goes on where it was. */
const LOOKS_MAX = 2000;
/** One choice wakes no more lanes than this, so that it has looks left; the others are still due for the next one. */
const WAKES_MAX = LOOKS_MAX / 2;
/** With more awake hosts than this a host's room is asked for when a lane of it is looked at, and not before. */
const HOSTS_AT_ONCE = 1000;
/** So long a lane is left alone, at most, whose host is, where there are so many hosts: milliseconds. */
const CLOSED_SLEEP_MAX_MS = 5000;

interface KnownLane {
  readonly id: number;
  readonly host: string;
  readonly bucket: string;
  readonly job: JobTurn;
  waiting: number;
  nextDue: number;
  /** While it sleeps: when it is to wake. */
  wakeAt: number;
}

/** One job's turn: so many tasks of its lanes with due tasks, one lane after the other. */
interface JobTurn {
  readonly seq: number;
  readonly weight: number;
  /** Tasks that its turn has left. What it cannot take now, because its hosts are busy, it may take later. */
  left: number;
  /** Those that are awake. */
  readonly lanes: Set<KnownLane>;
  /** Where the lane stands whose turn it is; what comes to the set or goes from it does not disturb it. */
  place: Iterator<KnownLane>;
  /** Its lanes, sleeping ones included. */
  known: number;
}

/** How many more tasks may be taken now, by what they go to. */
export interface Limits {
  readonly ofHost: (host: string) => number;
  readonly ofBucket: (bucket: string) => number;
  /** For how many more milliseconds a host is left alone. */
  readonly closedFor?: (host: string) => number;
}

/** What is left of the limits while tasks are chosen. */
class Room {
  readonly #hosts = new Map<string, number>();
  readonly #buckets = new Map<string, number>();
  readonly #limits: Limits;
  readonly #hostsInAll: number;
  #fullHosts = 0;

  constructor(hosts: ReadonlyMap<string, number>, limits: Limits) {
    this.#limits = limits;
    this.#hostsInAll = hosts.size;
    if (hosts.size <= HOSTS_AT_ONCE) for (const host of hosts.keys()) this.#ofHost(host);
  }

  /** False if no host has any. */
  get isLeft(): boolean {
    return this.#fullHosts < this.#hostsInAll;
  }

  /** True where a bucket takes no more now: it is closed, and what was taken last is its probe. */
  isExhausted(bucket: string): boolean {
    return this.#buckets.get(bucket) === 0;
  }

  /** True where the host of a lane that was looked at takes no more now. */
  isFull(host: string): boolean {
    return this.#hosts.get(host) === 0;
  }

  /** Takes one task's room. False if there is none. */
  take({ host, bucket }: Pick<KnownLane, "host" | "bucket">): boolean {
    const ofHost = this.#ofHost(host);
    if (ofHost <= 0) return false;
    const ofBucket = this.#buckets.get(bucket) ?? this.#limits.ofBucket(bucket);
    this.#buckets.set(bucket, ofBucket <= 0 ? 0 : ofBucket - 1);
    if (ofBucket <= 0) return false;
    this.#setHost(host, ofHost - 1);
    return true;
  }

  #ofHost(host: string): number {
    return this.#hosts.get(host) ?? this.#setHost(host, Math.max(0, this.#limits.ofHost(host)));
  }

  #setHost(host: string, room: number): number {
    this.#hosts.set(host, room);
    if (room === 0) this.#fullHosts++;
    return room;
  }
}

/** What one choice knows, and has found so far. */
interface Choice {
  readonly room: Room;
  readonly limits: Limits;
  readonly now: number;
  readonly chosen: Map<number, number>;
}

/**
 * The lanes that have waiting tasks: round-robin over jobs, weighted by priority, and within a job over its hosts. A
 * pure structure: it decides whose turn it is and does nothing about it. No call takes longer because there are more
 * lanes.
 */
export class Lanes {
  readonly #lanes = new Map<number, KnownLane>();
  readonly #jobs = new Map<number, JobTurn>();
  /** Jobs with due lanes, the next one first. */
  readonly #turns = new Set<JobTurn>();
  /** Where the last choice stopped before it had looked at all jobs. */
  #rest: Iterator<JobTurn> = this.#turns.values();
  /** Lanes with nothing due yet. */
  readonly #sleeping = new Set<KnownLane>();
  /** When they wake; an entry that is not so any more is passed over. */
  readonly #wakes = new DueHeap<KnownLane>();
  /** How many lanes are awake, by host. */
  readonly #hosts = new Map<string, number>();
  #looks = 0;
  /** Looks since something was taken, over several choices. */
  #looksInVain = 0;

  get size(): number {
    return this.#lanes.size;
  }

  /** Whether the last choice left lanes unseen: another one, in a later turn of the event loop, may find something. */
  get hasUnseen(): boolean {
    const isRoundOver = this.#looksInVain > this.#lanes.size - this.#sleeping.size + this.#turns.size;
    return this.#looks >= LOOKS_MAX && !isRoundOver;
  }

  has(id: number): boolean {
    return this.#lanes.has(id);
  }

  /** Forgets lanes that have nothing due, at most `limit`: they can be read again. False if none is left. */
  dropSleepers(limit = Number.POSITIVE_INFINITY): boolean {
    let left = limit;
    for (const lane of this.#sleeping) {
      if (left-- <= 0) return true;
      this.#remove(lane);
    }
    this.#wakes.clear();
    return false;
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
        wakeAt: lane.nextDue,
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
   * bucket may be taken. What is chosen counts as gone until `set` tells otherwise. It may stop early: see `hasUnseen`.
   */
  choose(count: number, limits: Limits, now: number): Map<number, number> {
    const goesOn = this.hasUnseen;
    this.#looks = 0;
    if (!goesOn) this.#looksInVain = 0;
    this.#wakeDue(now);
    const chosen = new Map<number, number>();
    const room = new Room(this.#hosts, limits);
    let isFromFront = !goesOn;
    if (isFromFront) this.#rest = this.#turns.values();
    while (count > 0 && room.isLeft && this.#looks < LOOKS_MAX) {
      const { value: turn, done } = this.#rest.next();
      if (done === true) {
        this.#rest = this.#turns.values();
        if (isFromFront) break;
        isFromFront = true;
        continue;
      }
      this.#look();
      const taken = this.#takeTurn(turn, Math.min(turn.left, count), { room, limits, now, chosen });
      count -= taken;
      turn.left -= taken;
      // Otherwise it keeps its place, or a busy host would make all priorities alike.
      if (turn.left === 0 && turn.lanes.size > 0) this.#endTurn(turn);
    }
    if (!room.isLeft) this.#looks = 0;
    return chosen;
  }

  /** No sleeping lane is due earlier; `undefined` if none sleeps. */
  nextDue(): number | undefined {
    for (let first = this.#wakes.first; first !== undefined; first = this.#wakes.first) {
      if (this.#isToWake(first)) return first.due;
      this.#wakes.pop();
    }
    return undefined;
  }

  #look(): void {
    this.#looks++;
    this.#looksInVain++;
  }

  /** Takes up to `count` tasks of a job, one of each lane in turn, and says how many that were. */
  #takeTurn(turn: JobTurn, count: number, { room, limits, now, chosen }: Choice): number {
    let taken = 0;
    let idle = 0;
    let isProbing = false;
    while (taken < count && idle < turn.lanes.size && this.#looks < LOOKS_MAX) {
      const lane = nextOf(turn);
      this.#look();
      if (lane === undefined || !room.take(lane)) {
        idle++;
        if (lane !== undefined && room.isFull(lane.host)) this.#leaveAlone(lane, limits, now);
        continue;
      }
      idle = 0;
      taken++;
      this.#looksInVain = 0;
      chosen.set(lane.id, (chosen.get(lane.id) ?? 0) + 1);
      lane.waiting--;
      if (lane.waiting === 0) this.#sleep(lane);
      isProbing ||= room.isExhausted(lane.bucket);
    }
    // The next probe of a closed bucket is another job's: this one's objects may be what it does not take.
    if (isProbing) turn.left = taken;
    return taken;
  }

  /** Where there are very many hosts, the lanes of those that are closed are not looked at again and again. */
  #leaveAlone(lane: KnownLane, limits: Limits, now: number): void {
    if (this.#hosts.size <= HOSTS_AT_ONCE) return;
    const closedMs = limits.closedFor?.(lane.host) ?? 0;
    if (closedMs <= 0) return;
    this.#looksInVain--; // it is none of those that are awake any more
    this.#sleep(lane, now + Math.min(closedMs, CLOSED_SLEEP_MAX_MS));
  }

  #endTurn(turn: JobTurn): void {
    turn.left = turn.weight;
    this.#turns.delete(turn);
    this.#turns.add(turn);
  }

  #turnOf(lane: Lane): JobTurn {
    let turn = this.#jobs.get(lane.job.seq);
    if (turn === undefined) {
      const weight = WEIGHTS[lane.job.priority];
      const lanes = new Set<KnownLane>();
      turn = { seq: lane.job.seq, weight, left: weight, lanes, place: lanes.values(), known: 0 };
      this.#jobs.set(lane.job.seq, turn);
    }
    return turn;
  }

  #wakeDue(now: number): void {
    for (let due = this.nextDue(); due !== undefined && due <= now; due = this.nextDue()) {
      if (this.#looks >= WAKES_MAX) return;
      this.#looks++;
      const lane = this.#wakes.first?.item;
      this.#wakes.pop();
      if (lane !== undefined) this.#wake(lane);
    }
  }

  #isToWake({ due, item }: { readonly due: number; readonly item: KnownLane }): boolean {
    return item.wakeAt === due && item.waiting > 0 && this.#sleeping.has(item) && this.#lanes.get(item.id) === item;
  }

  #addSleeper(lane: KnownLane, wakeAt = lane.nextDue): void {
    this.#sleeping.add(lane);
    lane.wakeAt = wakeAt;
    if (lane.waiting > 0) this.#wakes.push(wakeAt, lane);
    if (this.#wakes.size > 2 * this.#sleeping.size + LOOKS_MAX) this.#rebuildWakes();
  }

  /** Entries that are passed over must not pile up. */
  #rebuildWakes(): void {
    this.#wakes.clear();
    for (const lane of this.#sleeping) if (lane.waiting > 0) this.#wakes.push(lane.wakeAt, lane);
  }

  #wake(lane: KnownLane): void {
    this.#sleeping.delete(lane);
    this.#hosts.set(lane.host, (this.#hosts.get(lane.host) ?? 0) + 1);
    if (lane.job.lanes.size === 0) {
      lane.job.left = lane.job.weight;
      this.#turns.add(lane.job);
    }
    lane.job.lanes.add(lane);
  }

  #sleep(lane: KnownLane, wakeAt = lane.nextDue): void {
    this.#addSleeper(lane, wakeAt);
    const others = (this.#hosts.get(lane.host) ?? 1) - 1;
    if (others === 0) this.#hosts.delete(lane.host);
    else this.#hosts.set(lane.host, others);
    lane.job.lanes.delete(lane);
    if (lane.job.lanes.size === 0) this.#turns.delete(lane.job);
  }

  #remove(lane: KnownLane): void {
    if (!this.#sleeping.has(lane)) this.#sleep(lane);
    this.#sleeping.delete(lane);
    this.#lanes.delete(lane.id);
    if (--lane.job.known === 0) this.#jobs.delete(lane.job.seq);
  }
}

/** The lane whose turn it is: after the last one, the first one again. */
function nextOf(turn: JobTurn): KnownLane | undefined {
  const { value, done } = turn.place.next();
  if (done !== true) return value;
  turn.place = turn.lanes.values();
  return turn.place.next().value as KnownLane | undefined;
}
