import { setImmediate } from "node:timers/promises";
import { isSuspect } from "../jobs/crash-limit.ts";
import type { Lane } from "../jobs/lane.ts";
import type { ClaimedTask } from "../jobs/task.ts";
import { delay } from "../std/clock.ts";
import type { BrokerDeps } from "./broker-ports.ts";
import { Channel } from "./channel.ts";
import { LaneReader } from "./lane-reader.ts";
import { type Chosen, Lanes, type Limits } from "./lanes.ts";
import { NEWCOMERS_AT_ONCE, NEWCOMERS_MAX, Newcomers } from "./newcomers.ts";
import { RETRY_MS, Releases } from "./releases.ts";
import { EXTRA_MAX, Throughput } from "./throughput.ts";
import { NONE, those, Window } from "./window.ts";

/** The broker wakes at least this often. */
const ALARM_MAX_MS = 10_000;
/** A task that must wait longer than this does not wait in the window, where it would keep others out. */
const WINDOW_WAIT_MAX_MS = 1000;
/** Held hosts are looked at again after their time, but no sooner than this from now. */
const HELD_LOOK_MS = 20;
/** Claimed ahead for one host, as a multiple of its limit: enough that no worker waits for a commit. */
const AHEAD = 2;

/** See `Broker`. */
type State = "starting" | "running" | "paused" | "draining";

const NEXT_STATES: Readonly<Record<State, readonly State[]>> = {
  starting: ["running", "paused", "draining"],
  running: ["paused", "draining"],
  paused: ["starting", "running", "draining"],
  draining: [],
};

/**
 * Brings due tasks from queue.db to the workers. It claims a bounded window of tasks, fairly by lanes, and sends on the
 * tasks that their hosts permit now. Its memory is bounded, whatever the backlog.
 *
 *     starting ──start──▶ running ──stop──▶ draining
 *        │  ▲               │  ▲
 *      pause resume       pause resume
 *        ▼  │               ▼  │
 *        paused ──start──▶  paused ──stop──▶ draining
 *
 * | state | claims | sends | gives back |
 * |---|---|---|---|
 * | starting | no | no | no |
 * | running | yes | yes | tasks of closed hosts and buckets and of cancelled jobs, and too many of one host |
 * | paused | no | no | all that no worker has, a claim under way included |
 * | draining, final | no | no | the caller of `stop` does |
 *
 * A pause that comes before the start ends in `starting`, unless `start` was called meanwhile. `#enter` alone changes
 * the state.
 */
export class Broker {
  readonly channel: Channel<ClaimedTask>;
  readonly #deps: BrokerDeps;
  readonly #lanes = new Lanes();
  readonly #reader: LaneReader;
  readonly #throughput = new Throughput();
  readonly #window = new Window();
  readonly #newcomers = new Newcomers();
  #state: State = "starting";
  /** The state that a pause ends in. */
  #resumesTo: "starting" | "running" = "starting";
  #windowSize: number;
  /** Tasks that workers have, or take next. */
  readonly #out = new Set<number>();
  /** The suspect among them, which is the only one then. */
  #alone: number | undefined;
  #claiming: Promise<void> | undefined;
  #alarm: { at: number; cancel(): void } | undefined;
  readonly #releases: Releases;
  readonly #stopping = new AbortController();
  #isWoken = false;

  constructor(deps: BrokerDeps) {
    this.#deps = deps;
    this.#windowSize = deps.windowSize;
    this.#releases = new Releases(deps, (task) => this.#window.push(task));
    this.channel = new Channel(deps.channelSize, () => this.wake());
    this.#reader = new LaneReader({
      source: deps.source,
      lanes: this.#lanes,
      clock: deps.clock,
      onPage: () => this.wake(),
      onError: (error) => void this.#claimFailed(error),
    });
    deps.source.onLane((lane) => this.#noteLane(lane));
  }

  get state(): State {
    return this.#state;
  }

  /** Claimed tasks that no worker has yet. */
  get buffered(): number {
    return this.#window.size + this.channel.length;
  }

  /** Lanes, and their hosts and jobs, in memory; and the work on them so far, in steps. */
  get lanes(): Pick<Lanes, "size" | "groups" | "steps"> {
    return this.#lanes;
  }

  /** Claimed tasks of a host that wait for its permit. */
  aheadOf(host: string): number {
    return this.#window.ofHost(host);
  }

  /** Whether a task that may have crashed the process runs alone now. */
  get isOneAlone(): boolean {
    return this.#alone !== undefined;
  }

  start(): void {
    this.#resumesTo = "running";
    if (this.#state === "starting") this.#enter("running");
  }

  /** To be called when a worker is done with a task. */
  ended({ id }: Pick<ClaimedTask, "id">): void {
    this.#out.delete(id);
    const wasAlone = this.#alone === id;
    if (wasAlone) this.#alone = undefined;
    if (wasAlone || (this.#window.suspects > 0 && this.#out.size === 0)) this.wake();
  }

  /** Claims no more, and returns the tasks that no worker has: the caller releases them. */
  async stop(): Promise<ClaimedTask[]> {
    this.#enter("draining");
    await this.#claiming;
    await this.#releases.ended();
    return [...this.channel.close(), ...this.#window.takeWhere(() => true)];
  }

  /** Lets no more tasks through. Resolves once the tasks that no worker has are back in the queue. */
  async pause(): Promise<void> {
    this.#enter("paused");
    if (this.#state === "draining") return;
    for (const task of this.channel.drain()) {
      this.#deps.hosts.release(task.host);
      this.#deps.buckets.returned(task.task.bucket);
      this.ended(task);
      this.#window.push(task);
    }
    await this.#claiming;
    this.#pump();
    await this.#releases.ended();
  }

  resume(): void {
    if (this.#state === "paused") this.#enter(this.#resumesTo);
  }

  /** To be called when a permit, a place or a task has become free; many calls in one tick are one. */
  wake(): void {
    if (this.#isWoken || !this.#isAwake) return;
    this.#isWoken = true;
    queueMicrotask(() => this.#pump());
  }

  #enter(state: State): void {
    if (state === this.#state) return;
    if (!NEXT_STATES[this.#state].includes(state)) return;
    this.#state = state;
    if (state === "running") {
      this.#reader.restart();
      this.#pump();
    } else {
      this.#reader.stop();
    }
    if (state !== "draining") return;
    this.#alarm?.cancel();
    this.#alarm = undefined;
    this.#stopping.abort(new Error("the broker is stopping"));
  }

  /** Whether there is anything to do for a wake: while paused, tasks have to go back. */
  get #isAwake(): boolean {
    return this.#state === "running" || (this.#state === "paused" && this.#resumesTo === "running");
  }

  /** Moves what can move. */
  #pump(): void {
    this.#isWoken = false;
    if (!this.#isAwake) return;
    const startedAt = this.#deps.clock.monotonic();
    if (this.#throughput.measure(startedAt)) {
      this.#windowSize = this.#deps.windowSize + Math.min(EXTRA_MAX, this.#throughput.inAll);
      this.#releaseSurplus();
    }
    this.#send();
    this.#refill();
    this.#setAlarm(startedAt);
  }

  /** Gives back tasks that were claimed ahead for hosts that have turned slow, the last first. */
  #releaseSurplus(): void {
    if (!this.#releases.arePossible) return;
    const surplus: ClaimedTask[] = [];
    for (const host of this.#window.hosts()) {
      const ahead = this.#window.ofHost(host);
      if (ahead <= AHEAD) continue;
      const most = AHEAD * this.#deps.hosts.limit(host);
      // A host that is left alone for a moment is not slow.
      if (most === 0 || ahead <= Math.max(most, 2 * this.#throughput.of(host))) continue;
      surplus.push(...this.#window.takeLast(host, ahead - most));
    }
    this.#release(surplus);
  }

  #send(): void {
    if (this.#window.size === 0) return;
    this.#releaseUnwanted();
    if (this.#state !== "running" || this.#isHeldBySuspect()) return;
    const { hosts } = this.#deps;
    this.#window.send({
      isOpen: () => this.#isChannelOpen,
      hasRoom: (host) => hosts.room(host) > 0,
      send: (task) => this.#sendOne(task),
    });
  }

  #sendOne(task: ClaimedTask): void {
    this.#deps.hosts.acquire(task.host);
    this.#deps.buckets.sent(task.task.bucket);
    this.#out.add(task.id);
    this.#throughput.sent(task.host);
    this.#freeLanes(task.host);
    this.channel.send(task);
  }

  /** Whether all others have to wait for a suspect: it runs, or waits for their end. Sends it once they have ended. */
  #isHeldBySuspect(): boolean {
    if (this.#alone !== undefined) return true;
    if (this.#window.suspects === 0) return false;
    const suspect = this.#window.find((task) => isSuspect(task) && this.#deps.hosts.room(task.host) > 0);
    if (suspect === undefined) return false;
    if (this.#out.size === 0) {
      this.#alone = suspect.id;
      this.#window.takeWhere((task) => task === suspect);
      this.#sendOne(suspect);
    }
    return true;
  }

  /** Gives back tasks that cannot run now, and tasks that would wait in the window for too long. */
  #releaseUnwanted(): void {
    if (!this.#releases.arePossible) return;
    if (this.#state === "paused") return this.#release(this.#window.takeWhere(() => true));
    const { hosts, buckets, source } = this.#deps;
    const cancelling = those(this.#window.jobs(), (job) => source.isCancelling(job));
    const isShut = (host: string) => hosts.closedFor(host) > WINDOW_WAIT_MAX_MS;
    const shut = hosts.hasClosed ? those(this.#window.hosts(), isShut) : NONE;
    const away = those(this.#window.buckets(), (bucket) => buckets.room(bucket) === 0);
    if (cancelling.size + shut.size + away.size === 0) return;
    this.#release(
      this.#window.takeWhere(
        ({ job, host, task }) => cancelling.has(job.seq) || shut.has(host) || away.has(task.bucket),
      ),
    );
  }

  /** Gives tasks that have left the window back to the queue. A task whose release fails returns to the window. */
  #release(tasks: readonly ClaimedTask[]): void {
    for (const task of tasks) {
      this.#releases.add(task);
      this.#freeLanes(task.host);
    }
  }

  /**
   * Whether to claim now: half a window at a time, or less where the workers want tasks and those in the window wait
   * for their hosts.
   */
  get #isToRefill(): boolean {
    const room = this.#windowSize - this.#window.size;
    if (this.#state !== "running" || this.#claiming !== undefined || room <= 0) return false;
    return room >= this.#windowSize / 2 || this.#isChannelOpen;
  }

  /** Tasks in the channel have no turn any more, so that few long ones are there: those of a third of a second. */
  get #isChannelOpen(): boolean {
    return this.channel.room > 0 && this.channel.length < Math.max(1, 4 * this.#throughput.inAll);
  }

  #refill(): void {
    if (!this.#isToRefill) return this.#admitNewcomers();
    this.#newcomers.seen();
    const wanted = this.#windowSize - this.#window.size;
    const chosen = this.#lanes.choose(wanted, this.#limits(), this.#deps.clock.steady());
    if (chosen.length > 0) this.#claim(chosen);
    if (this.#lanes.hasUnseen) return void (chosen.length === 0 && this.#chooseAgain());
    this.#reader.continue(chosen.reduce((sum, { limit }) => sum + limit, 0) < wanted);
  }

  #admitNewcomers(): void {
    const { clock } = this.#deps;
    if (!this.#mayAdmit || !this.#newcomers.takeTurn(clock.monotonic())) return;
    const isNew = (job: number) => !this.#window.hasJob(job);
    const chosen = this.#lanes.choose(NEWCOMERS_AT_ONCE, this.#limits(), clock.steady(), isNew);
    if (chosen.length > 0) this.#claim(chosen);
  }

  get #mayAdmit(): boolean {
    const hasPlace = this.#window.size < this.#deps.windowSize + EXTRA_MAX + NEWCOMERS_MAX;
    return this.#state === "running" && this.#claiming === undefined && hasPlace;
  }

  #limits(): Limits {
    const { hosts, buckets } = this.#deps;
    return {
      ofHost: (host) => this.#roomAhead(host),
      closedFor: (host) => hosts.closedFor(host),
      ofBucket: (bucket) => buckets.room(bucket) - this.#window.ofBucket(bucket),
    };
  }

  #claim(chosen: readonly Chosen[]): void {
    this.#claiming = this.#deps.source
      .claim(chosen)
      .then((tasks) => {
        for (const task of tasks) this.#window.push(task);
      })
      .catch((error: unknown) => this.#claimFailed(error))
      .finally(() => {
        this.#claiming = undefined;
        // A claim may bring fewer tasks than were chosen.
        for (const { host } of chosen) this.#freeLanes(host);
        this.#pump();
      });
  }

  /** More is claimed only once half of it is gone; nothing while the host is left alone. */
  #roomAhead(host: string): number {
    const limit = this.#deps.hosts.limit(host);
    const most = limit === 0 ? 0 : Math.max(AHEAD * limit, Math.min(EXTRA_MAX, this.#throughput.of(host)));
    const ahead = this.#window.ofHost(host);
    return ahead > most / 2 ? 0 : most - ahead;
  }

  /**
   * To be called when tasks of a host have left the window. The lanes of a host that is closed now, for example until
   * its rate permits the next start, are freed too: the next choice holds them until the host opens.
   */
  #freeLanes(host: string): void {
    if (!this.#lanes.isHeld(host)) return;
    if (this.#roomAhead(host) > 0 || this.#deps.hosts.closedFor(host) > 0) this.#lanes.free(host);
  }

  async #claimFailed(error: unknown): Promise<void> {
    this.#deps.onError(error);
    await delay(this.#deps.clock, RETRY_MS, this.#stopping.signal).catch(() => {}); // stopping
    if (this.#state === "running") this.#reader.restart();
  }

  #noteLane(lane: Lane): void {
    this.#reader.changed(lane.id);
    this.#lanes.set(lane, this.#deps.clock.steady());
    if (!this.#window.hasJob(lane.job.seq)) this.#newcomers.came();
    this.wake();
  }

  /** Continues a choice that had looked at too many lanes, once others have had a turn. */
  async #chooseAgain(): Promise<void> {
    await setImmediate();
    this.wake();
  }

  /**
   * Wakes the broker when the first lane is due, or the first host or bucket may be tried again. An opening since the
   * round began may have come too late for it; an earlier one was seen.
   */
  #setAlarm(roundBegan: number): void {
    const { clock, hosts, buckets } = this.#deps;
    const now = clock.monotonic();
    let at = now + ALARM_MAX_MS;
    for (const opensAt of [hosts.nextOpening(roundBegan), buckets.nextOpening(roundBegan)]) {
      if (opensAt !== undefined && opensAt > roundBegan) at = Math.min(at, opensAt);
    }
    // Where nothing is to be claimed now, the event that makes room wakes the broker.
    for (const due of this.#isToRefill ? [this.#lanes.nextDue(), this.#reader.dueAt] : []) {
      if (due !== undefined) at = Math.min(at, now + due - clock.steady());
    }
    if (this.#mayAdmit) at = Math.min(at, this.#newcomers.dueAt ?? at);
    const opening = this.#isToRefill ? this.#lanes.nextOpening() : undefined;
    if (opening !== undefined) at = Math.min(at, Math.max(now + opening - clock.steady(), now + HELD_LOOK_MS));
    at = Math.max(at, now + 1);
    if (this.#alarm !== undefined && this.#alarm.at <= at) return;
    this.#alarm?.cancel();
    const timer = clock.after(at - clock.monotonic(), () => {
      this.#alarm = undefined;
      this.#pump();
    });
    this.#alarm = { at, cancel: () => timer.cancel() };
  }
}
