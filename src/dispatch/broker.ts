import type { Clock } from "../jobs/clock.ts";
import type { Lane } from "../jobs/lane.ts";
import type { ClaimedTask } from "../jobs/task.ts";
import { Channel } from "./channel.ts";
import { Lanes } from "./lanes.ts";

/** What the broker needs of queue.db. */
export interface TaskSource {
  /** Lanes with waiting tasks, those that are due first at the front. */
  lanes(limit: number): Lane[];
  onLane(listener: (lane: Lane) => void): void;
  claim(requests: readonly { lane: number; limit: number }[]): Promise<ClaimedTask[]>;
}

/** What the broker needs to know of hosts: who may start now. */
export interface HostPermits {
  /** Tasks of a host that may start now. */
  room(host: string): number;
  /** Most that may ever run at once; 0 while the host is left alone. */
  limit(host: string): number;
  acquire(host: string): void;
  /** When the first of the hosts that are left alone may be tried again, by the monotonic clock. */
  nextOpening(): number | undefined;
}

export interface BrokerDeps {
  readonly source: TaskSource;
  readonly hosts: HostPermits;
  readonly clock: Clock;
  /** Bound of the channel to the workers. */
  readonly channelSize: number;
  /** Claimed tasks that wait for their host's permit or a place in the channel, at most. */
  readonly windowSize: number;
  readonly onError: (error: unknown) => void;
}

/** Lanes held in memory at most: those that are due first. The others are looked for again after a while. */
const LANES_MAX = 100_000;
/** Nothing waits longer than this for a jump of the wall clock, or a lane that was left out, to be noticed. */
const ALARM_MAX_MS = 10_000;
/** After a claim that failed (a full disk), the next one waits. */
const CLAIM_RETRY_MS = 1000;
/** Of one host, so many times its limit may be claimed ahead: enough that no worker waits for a commit. */
const AHEAD = 2;

/**
 * Brings due tasks from queue.db to the workers: claims a bounded window fairly by lanes, and sends on what its host
 * permits now. Whatever the backlog, no more than the window is in memory.
 */
export class Broker {
  readonly channel: Channel<ClaimedTask>;
  readonly #deps: BrokerDeps;
  readonly #lanes = new Lanes();
  /** Claimed, in the order of their turns; they wait for a permit. */
  #window: ClaimedTask[] = [];
  readonly #ahead = new Map<string, number>();
  #lanesLeftOut = false;
  #claiming: Promise<void> | undefined;
  #alarm: { at: number; cancel(): void } | undefined;
  #running = false;
  #woken = false;

  constructor(deps: BrokerDeps) {
    this.#deps = deps;
    this.channel = new Channel(deps.channelSize, () => this.wake());
    deps.source.onLane((lane) => this.#noteLane(lane));
  }

  /** Claimed tasks that no worker has yet. */
  get buffered(): number {
    return this.#window.length + this.channel.length;
  }

  start(): void {
    this.#running = true;
    this.#readLanes();
    this.#pump();
  }

  /** Claims no more, and gives back what no worker has: it is to be released. */
  async stop(): Promise<ClaimedTask[]> {
    this.#running = false;
    this.#alarm?.cancel();
    this.#alarm = undefined;
    await this.#claiming;
    this.#ahead.clear();
    return [...this.channel.close(), ...this.#window.splice(0)];
  }

  /** To be called when a permit, a place or a task has become free; many calls in one tick are one. */
  wake(): void {
    if (this.#woken || !this.#running) return;
    this.#woken = true;
    queueMicrotask(() => this.#pump());
  }

  /** Moves what can move. */
  #pump(): void {
    this.#woken = false;
    if (!this.#running) return;
    this.#send();
    this.#refill();
    this.#setAlarm();
  }

  #send(): void {
    if (this.#window.length === 0) return;
    const { hosts } = this.#deps;
    this.#window = this.#window.filter((task) => {
      if (this.channel.room === 0 || hosts.room(task.host) === 0) return true;
      hosts.acquire(task.host);
      this.#count(task.host, -1);
      this.channel.send(task);
      return false;
    });
  }

  #refill(): void {
    const room = this.#deps.windowSize - this.#window.length;
    if (this.#claiming !== undefined || room < this.#deps.windowSize / 2) return;
    if (this.#lanesLeftOut && this.#lanes.size < LANES_MAX / 2) this.#readLanes();
    const { hosts, clock, source } = this.#deps;
    const roomOf = (host: string) => hosts.limit(host) * AHEAD - (this.#ahead.get(host) ?? 0);
    const chosen = this.#lanes.choose(room, roomOf, clock.now());
    if (chosen.size === 0) return;
    const requests = [...chosen].map(([lane, limit]) => ({ lane, limit }));
    this.#claiming = source
      .claim(requests)
      .then((tasks) => this.#take(tasks))
      .catch((error: unknown) => this.#claimFailed(error))
      .finally(() => {
        this.#claiming = undefined;
        this.#pump();
      });
  }

  #take(tasks: readonly ClaimedTask[]): void {
    for (const task of tasks) {
      this.#window.push(task);
      this.#count(task.host, 1);
    }
  }

  async #claimFailed(error: unknown): Promise<void> {
    this.#deps.onError(error);
    await new Promise<void>((resolve) => this.#deps.clock.after(CLAIM_RETRY_MS, resolve));
    if (this.#running) this.#readLanes();
  }

  #count(host: string, change: number): void {
    const ahead = (this.#ahead.get(host) ?? 0) + change;
    if (ahead <= 0) this.#ahead.delete(host);
    else this.#ahead.set(host, ahead);
  }

  #noteLane(lane: Lane): void {
    if (this.#lanes.size >= LANES_MAX && !this.#lanes.has(lane.id)) {
      this.#lanesLeftOut = true;
      return;
    }
    this.#lanes.set(lane, this.#deps.clock.now());
    this.wake();
  }

  #readLanes(): void {
    this.#lanes.dropSleepers();
    const lanes = this.#deps.source.lanes(LANES_MAX);
    this.#lanesLeftOut = lanes.length === LANES_MAX;
    for (const lane of lanes) this.#lanes.set(lane, this.#deps.clock.now());
  }

  /** Wakes the broker when the first lane is due or the first host may be tried again. */
  #setAlarm(): void {
    const { clock, hosts } = this.#deps;
    const due = this.#lanes.nextDue();
    const opening = hosts.nextOpening();
    const wait = Math.min(
      due === undefined ? ALARM_MAX_MS : due - clock.now(),
      opening === undefined ? ALARM_MAX_MS : opening - clock.monotonic(),
      ALARM_MAX_MS,
    );
    const at = clock.monotonic() + Math.max(1, wait);
    if (this.#alarm !== undefined && this.#alarm.at <= at) return;
    this.#alarm?.cancel();
    const timer = clock.after(at - clock.monotonic(), () => {
      this.#alarm = undefined;
      if (this.#lanesLeftOut) this.#readLanes();
      this.#pump();
    });
    this.#alarm = { at, cancel: () => timer.cancel() };
  }
}
