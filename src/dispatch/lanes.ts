import type { Lane } from "../jobs/lane.ts";
import { DueHeap } from "./due-heap.ts";
import {
  bucketGate,
  type Gate,
  type HostGate,
  hostGate,
  isHost,
  type JobTurn,
  type KnownLane,
  newTurn,
  nextOf,
  obtain,
  WEIGHTS,
} from "./known-lane.ts";
import { Sleepers } from "./sleepers.ts";

/** Lanes in memory at most. All others stay in queue.db, where `LaneReader` finds them. */
export const LANES_MAX = 5000;
/** Lanes of one host in memory at most, for each priority. */
const HOST_LANES_MAX = 256;
/** While the memory is full, a job or a held host with more lanes than this makes room for a job with fewer. */
const LANES_SAFE = 16;
/** One choice looks at no more lanes and jobs than this: less than a millisecond. */
export const LOOKS_MAX = 2000;
/** One choice wakes no more lanes than this, which leaves it looks; the others are still due for the next choice. */
const WAKES_MAX = LOOKS_MAX / 2;
/** A held host is looked at again after this time at the latest, in milliseconds. */
const HOLD_MAX_MS = 1000;
/** The steady clock counts whole milliseconds, so that it may lag behind an opening by less than this. */
const CLOCK_STEP_MS = 1;

/** How many more tasks may be taken now, by host and by bucket. */
export interface Limits {
  readonly ofHost: (host: string) => number;
  readonly ofBucket: (bucket: string) => number;
  /** For how many more milliseconds a host is left alone. */
  readonly closedFor: (host: string) => number;
}

/** A lane to claim from, and the number of tasks. */
export interface Chosen {
  readonly lane: number;
  readonly host: string;
  limit: number;
}

/** What one choice knows, and has found so far. */
interface Choice {
  readonly limits: Limits;
  readonly now: number;
  readonly room: Map<Gate, number>;
  readonly chosen: Map<number, Chosen>;
}

/**
 * A bounded number of lanes that have waiting tasks: round-robin over jobs, weighted by priority, and within a job over
 * its hosts. It only decides whose turn it is. Neither its size nor the work of a call grows with the queue.
 *
 * A lane is in one of three places:
 *
 *     ready ──its host or bucket has no room──▶ in line at that gate ──the gate opens──▶ ready
 *     ready ──nothing of it is due──▶ asleep ──it is due──▶ ready
 *
 * A heap holds the gates by their next opening, another one the sleepers by their due time.
 */
export class Lanes {
  readonly #lanes = new Map<number, KnownLane>();
  readonly #jobs = new Map<number, JobTurn>();
  /** Jobs that can make room for others. */
  readonly #largeJobs = new Set<JobTurn>();
  /** Jobs with ready lanes, the next one first. */
  readonly #turns = new Set<JobTurn>();
  readonly #hosts = new Map<string, HostGate>();
  readonly #buckets = new Map<string, Gate>();
  readonly #heldBuckets = new Set<Gate>();
  /** Held hosts that may have a long line. */
  readonly #longLines = new Set<Gate>();
  /** Held hosts by when they are looked at again; an entry that is out of date is skipped. */
  readonly #openings = new DueHeap<Gate>();
  readonly #sleepers = new Sleepers();
  #missedDue = Number.POSITIVE_INFINITY;
  #hasGained = false;
  #looks = 0;
  #steps = 0;

  get size(): number {
    return this.#lanes.size;
  }

  /** Hosts and jobs in memory. */
  get groups(): { readonly hosts: number; readonly jobs: number } {
    return { hosts: this.#hosts.size, jobs: this.#jobs.size };
  }

  /** Lanes, jobs and gates that were looked at or moved since the start: a measure of work without a clock. */
  get steps(): number {
    return this.#steps;
  }

  /** Whether the last choice left ready lanes unseen: another choice, in a later turn of the event loop, sees them. */
  get hasUnseen(): boolean {
    return this.#looks >= LOOKS_MAX && this.#turns.size > 0;
  }

  has(id: number): boolean {
    return this.#lanes.has(id);
  }

  /** The earliest due time of a lane that was left out or dropped since the last call; infinite if there was none. */
  takeMissedDue(): number {
    const due = this.#missedDue;
    this.#missedDue = Number.POSITIVE_INFINITY;
    return due;
  }

  /** Whether, since the last call, a host that was full has room for other lanes. */
  takeGain(): boolean {
    const hasGained = this.#hasGained;
    this.#hasGained = false;
    return hasGained;
  }

  /** Notes that queue.db has lanes that were never passed to `set`, the first of them due at `due`. */
  miss(due: number): void {
    this.#missedDue = Math.min(this.#missedDue, due);
  }

  /** Forgets lanes that have nothing due: they can be read again. */
  dropSleepers(): void {
    for (const lane of this.#sleepers.lanes) this.#remove(lane);
  }

  /** Takes in what a lane holds now. False if there is no room for it in memory: it can be read again. */
  set(lane: Lane, now: number): boolean {
    this.#steps++;
    const known = this.#lanes.get(lane.id);
    if (lane.waiting === 0) {
      if (known !== undefined) this.#remove(known);
      return true;
    }
    if (known === undefined) return this.#add(lane, now);
    known.waiting = lane.waiting;
    known.nextDue = lane.nextDue;
    if (lane.nextDue > now) this.#sleep(known);
    else if (known.place === this.#sleepers.lanes) this.#stand(known);
    return true;
  }

  /**
   * Chooses up to `count` tasks of wanted jobs by lane; `limits` tell how many more of a host and of a bucket may be
   * taken. A chosen task counts as gone until `set` corrects that. It may stop early: see `hasUnseen`.
   */
  choose(count: number, limits: Limits, now: number, isWanted: (job: number) => boolean = () => true): Chosen[] {
    this.#looks = 0;
    this.#openGates(limits, now);
    this.#wakeDue(now);
    const choice: Choice = { limits, now, room: new Map(), chosen: new Map() };
    let wanted = count;
    for (const turn of this.#turns) {
      if (wanted <= 0 || this.#looks >= LOOKS_MAX) break;
      this.#look();
      if (!isWanted(turn.seq)) continue;
      const taken = this.#takeTurn(turn, Math.min(turn.left, wanted), choice);
      wanted -= taken;
      turn.left -= taken;
      // Otherwise it keeps its place, or a busy host would make all priorities alike.
      if (turn.left <= 0) this.#endTurn(turn);
    }
    return [...choice.chosen.values()];
  }

  /** When the first sleeper is due; `undefined` if there is none. */
  nextDue(): number | undefined {
    return this.#sleepers.first?.nextDue;
  }

  /** When the first held host is looked at again; `undefined` if no host is held. */
  nextOpening(): number | undefined {
    for (let first = this.#openings.first; first !== undefined; first = this.#openings.first) {
      if (first.item.heldUntil === first.due) return first.due;
      this.#openings.pop();
    }
    return undefined;
  }

  /** Whether the lanes of a host stand in line. */
  isHeld(host: string): boolean {
    return this.#hosts.get(host)?.heldUntil !== undefined;
  }

  /** Lets the lanes of a host take their turns again: it has room. */
  free(host: string): void {
    const gate = this.#hosts.get(host);
    if (gate !== undefined) this.#open(gate);
  }

  #add(lane: Lane, now: number): boolean {
    if (this.#isHostFull(lane) || !this.#hasRoomFor(lane, now)) {
      this.miss(lane.nextDue);
      return false;
    }
    const { id, waiting, nextDue } = lane;
    const job = obtain(this.#jobs, lane.job.seq, (seq) => newTurn(seq, lane.job.priority));
    const host = obtain(this.#hosts, lane.host, hostGate);
    const added: KnownLane = {
      id,
      host,
      bucket: obtain(this.#buckets, lane.bucket, bucketGate),
      job,
      waiting,
      nextDue,
      place: this.#sleepers.lanes,
    };
    host.lanes[job.priority]++;
    this.#lanes.set(id, added);
    job.lanes.add(added);
    if (job.lanes.size > LANES_SAFE) this.#largeJobs.add(job);
    if (nextDue > now) this.#sleep(added);
    else this.#stand(added);
    return true;
  }

  #isHostFull({ host, job }: Lane): boolean {
    const gate = this.#hosts.get(host);
    if (gate === undefined || gate.lanes[job.priority] < HOST_LANES_MAX) return false;
    gate.isMissingLanes = true;
    return true;
  }

  /** Drops a lane that is asleep, or of a job or a held host with many lanes, for a lane of a job with few. */
  #hasRoomFor({ job, nextDue }: Lane, now: number): boolean {
    if (this.#lanes.size < LANES_MAX) return true;
    if (nextDue > now) return false;
    const [sleeper] = this.#sleepers.lanes;
    const isSmall = (this.#jobs.get(job.seq)?.lanes.size ?? 0) < LANES_SAFE;
    const [large] = this.#largeJobs;
    const [ofLarge] = isSmall ? (large?.lanes ?? []) : [];
    const dropped = sleeper ?? ofLarge ?? (isSmall ? this.#lastOfLongLine() : undefined);
    if (dropped === undefined) return false;
    this.miss(dropped.nextDue);
    this.#remove(dropped);
    return true;
  }

  #lastOfLongLine(): KnownLane | undefined {
    for (const { line } of this.#longLines) if (line !== undefined && line.size > LANES_SAFE) return [...line].at(-1);
    return undefined;
  }

  #look(): void {
    this.#looks++;
    this.#steps++;
  }

  /** Takes up to `count` tasks of a job, one of each lane in turn, and returns their number. */
  #takeTurn(turn: JobTurn, count: number, choice: Choice): number {
    let taken = 0;
    while (taken < count && turn.ready.size > 0 && this.#looks < LOOKS_MAX) {
      const lane = nextOf(turn);
      this.#look();
      const full = [lane.host, lane.bucket].find((gate) => this.#roomOf(gate, choice) <= 0);
      if (full !== undefined) {
        this.#hold(lane, full, choice);
        continue;
      }
      taken++;
      this.#take(lane, choice);
      if (choice.room.get(lane.bucket) !== 0) continue;
      // The next probe of a closed bucket belongs to another job: this one's objects may be the ones it refuses.
      turn.left = taken;
      break;
    }
    return taken;
  }

  #take(lane: KnownLane, { room, chosen }: Choice): void {
    for (const gate of [lane.host, lane.bucket]) room.set(gate, (room.get(gate) ?? 0) - 1);
    const known = chosen.get(lane.id);
    if (known === undefined) chosen.set(lane.id, { lane: lane.id, host: lane.host.name, limit: 1 });
    else known.limit++;
    lane.waiting--;
    if (lane.waiting === 0) this.#sleep(lane);
  }

  #roomOf(gate: Gate, { room, limits }: Choice): number {
    let left = room.get(gate);
    if (left === undefined) {
      left = isHost(gate) ? limits.ofHost(gate.name) : limits.ofBucket(gate.name);
      room.set(gate, left);
    }
    return left;
  }

  #hold(lane: KnownLane, gate: Gate, { limits, now }: Choice): void {
    if (gate.heldUntil === undefined) this.#close(gate, limits, now);
    this.#queue(lane, gate);
  }

  #queue(lane: KnownLane, gate: Gate): void {
    this.#move(lane, (gate.line ??= new Set()));
    if (isHost(gate) && gate.line.size > LANES_SAFE) this.#longLines.add(gate);
  }

  #close(gate: Gate, { closedFor, ofHost }: Limits, now: number): void {
    if (isHost(gate)) {
      const closedMs = closedFor(gate.name);
      // A host that opened since its room was asked for is looked at again at once.
      const openMs = closedMs <= 0 && ofHost(gate.name) > 0 ? 0 : HOLD_MAX_MS;
      gate.heldUntil = now + Math.min(closedMs > 0 ? closedMs : openMs, HOLD_MAX_MS);
      this.#openings.push(gate.heldUntil, gate);
    } else {
      gate.heldUntil = Number.POSITIVE_INFINITY;
      this.#heldBuckets.add(gate);
    }
  }

  /** Lets the lines of hosts pass whose time has come, and of buckets with room. */
  #openGates({ ofBucket }: Limits, now: number): void {
    for (const bucket of this.#heldBuckets) if (ofBucket(bucket.name) > 0) this.#open(bucket);
    for (let first = this.#openings.first; first !== undefined; first = this.#openings.first) {
      if (first.due > now + CLOCK_STEP_MS || this.#looks >= WAKES_MAX) return;
      this.#openings.pop();
      if (first.item.heldUntil === first.due) this.#open(first.item);
    }
  }

  #open(gate: Gate): void {
    if (gate.heldUntil === undefined) return;
    gate.heldUntil = undefined;
    this.#heldBuckets.delete(gate);
    this.#longLines.delete(gate);
    const { line } = gate;
    gate.line = undefined;
    for (const lane of line ?? []) {
      this.#look();
      this.#stand(lane);
    }
  }

  #wakeDue(now: number): void {
    for (let lane = this.#sleepers.first; lane !== undefined && lane.nextDue <= now; lane = this.#sleepers.first) {
      if (this.#looks >= WAKES_MAX) return;
      this.#look();
      this.#stand(lane);
    }
  }

  #sleep(lane: KnownLane): void {
    this.#move(lane, this.#sleepers.lanes);
    this.#sleepers.noteDue(lane);
  }

  /** Puts a lane where it belongs now that it is due: in line at a held gate, else with the ready ones. */
  #stand(lane: KnownLane): void {
    const gate = [lane.host, lane.bucket].find(({ heldUntil }) => heldUntil !== undefined);
    if (gate !== undefined) this.#queue(lane, gate);
    else this.#move(lane, lane.job.ready);
  }

  /** The one place where a lane changes its place. */
  #move(lane: KnownLane, to: Set<KnownLane>): void {
    const { job, place: from } = lane;
    if (from === to && from.has(lane)) return;
    from.delete(lane);
    if (from === job.ready && from.size === 0) this.#turns.delete(job);
    lane.place = to;
    if (to === job.ready && to.size === 0) {
      if (job.left <= 0) job.left = WEIGHTS[job.priority];
      this.#turns.add(job);
    }
    to.add(lane);
  }

  #remove(lane: KnownLane): void {
    this.#move(lane, this.#sleepers.lanes);
    this.#sleepers.lanes.delete(lane);
    this.#lanes.delete(lane.id);
    const { job, host } = lane;
    job.lanes.delete(lane);
    if (job.lanes.size <= LANES_SAFE) this.#largeJobs.delete(job);
    if (job.lanes.size === 0) this.#jobs.delete(job.seq);
    if (--host.lanes[job.priority] === HOST_LANES_MAX / 2 && host.isMissingLanes) {
      host.isMissingLanes = false;
      this.#hasGained = true;
    }
    if (host.lanes.low + host.lanes.normal + host.lanes.high > 0) return;
    this.#hosts.delete(host.name);
    this.#longLines.delete(host);
    host.heldUntil = undefined;
  }

  #endTurn(turn: JobTurn): void {
    turn.left = WEIGHTS[turn.priority];
    if (turn.ready.size === 0) return;
    this.#turns.delete(turn);
    this.#turns.add(turn);
  }
}
