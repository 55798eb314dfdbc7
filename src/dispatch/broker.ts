import { setImmediate } from "node:timers/promises";
import { isSuspect } from "../jobs/crash-limit.ts";
import type { Lane } from "../jobs/lane.ts";
import type { ClaimedTask } from "../jobs/task.ts";
import { delay } from "../std/clock.ts";
import type { BrokerDeps } from "./broker-ports.ts";
import { Channel } from "./channel.ts";
import { Lanes } from "./lanes.ts";
import { Throughput } from "./throughput.ts";

/** Lanes held in memory at most: those that are due first. The others are looked for again after a while. */
const LANES_MAX = 100_000;
/** Lanes that are read, or dropped, in a turn of the event loop. */
const LANES_AT_ONCE = 500;
/** Nothing waits longer than this for a lane that was left out to be noticed. */
const ALARM_MAX_MS = 10_000;
/** After a claim or a release that failed (a full disk), the next one waits. */
const RETRY_MS = 1000;
/** What must wait longer than this does not wait in the window: it would keep others out. */
const WINDOW_WAIT_MAX_MS = 1000;
/** Of one host, so many times its limit may be claimed ahead: enough that no worker waits for a commit. */
const AHEAD = 2;
/**
 * What goes out in a moment may be claimed ahead as well, since a claim costs a commit, however large it is; so many at
 * most, of all hosts. Nobody waits long behind it: a host that turns slow gives it back.
 */
const EXTRA_MAX = 384;

/**
 * Brings due tasks from queue.db to the workers: claims a bounded window fairly by lanes, and sends on what its host
 * permits now. Whatever the backlog, no more than the window and `EXTRA_MAX` is in memory.
 */
export class Broker {
  readonly channel: Channel<ClaimedTask>;
  readonly #deps: BrokerDeps;
  readonly #lanes = new Lanes();
  readonly #throughput = new Throughput();
  #windowSize: number;
  /** Claimed, in the order of their turns; they wait for a permit. */
  #window: ClaimedTask[] = [];
  readonly #ahead = new Map<string, number>();
  readonly #aheadByBucket = new Map<string, number>();
  readonly #aheadByJob = new Map<number, number>();
  #suspectsAhead = 0;
  /** Tasks that workers have, or take next. */
  readonly #out = new Set<number>();
  /** The suspect among them: then it is the only one. */
  #alone: number | undefined;
  #lanesLeftOut = false;
  #readings = 0;
  #claiming: Promise<void> | undefined;
  #alarm: { at: number; cancel(): void } | undefined;
  readonly #releases = new Set<Promise<void>>();
  /** By the monotonic clock. */
  #releasesFrom = 0;
  readonly #stopping = new AbortController();
  #running = false;
  #paused = false;
  #woken = false;

  constructor(deps: BrokerDeps) {
    this.#deps = deps;
    this.#windowSize = deps.windowSize;
    this.channel = new Channel(deps.channelSize, () => this.wake());
    deps.source.onLane((lane) => this.#noteLane(lane));
  }

  /** Claimed tasks that no worker has yet. */
  get buffered(): number {
    return this.#window.length + this.channel.length;
  }

  /** Claimed tasks of a host that wait for its permit. */
  aheadOf(host: string): number {
    return this.#ahead.get(host) ?? 0;
  }

  /** Whether a task that may have crashed the process runs alone now. */
  get isOneAlone(): boolean {
    return this.#alone !== undefined;
  }

  start(): void {
    this.#running = true;
    this.#readLanes();
    this.#pump();
  }

  /** To be called when a worker is done with a task. */
  ended({ id }: Pick<ClaimedTask, "id">): void {
    this.#out.delete(id);
    const wasAlone = this.#alone === id;
    if (wasAlone) this.#alone = undefined;
    if (wasAlone || (this.#suspectsAhead > 0 && this.#out.size === 0)) this.wake();
  }

  /** Claims no more, and gives back what no worker has: it is to be released. */
  async stop(): Promise<ClaimedTask[]> {
    this.#running = false;
    this.#alarm?.cancel();
    this.#alarm = undefined;
    this.#stopping.abort(new Error("the broker is stopping"));
    await this.#claiming;
    await Promise.all(this.#releases);
    this.#ahead.clear();
    this.#aheadByBucket.clear();
    this.#aheadByJob.clear();
    this.#suspectsAhead = 0;
    return [...this.channel.close(), ...this.#window.splice(0)];
  }

  /** Lets no more tasks through, and gives back what no worker has. */
  async pause(): Promise<void> {
    this.#paused = true;
    for (const task of this.channel.drain()) {
      this.#deps.hosts.release(task.host);
      this.#deps.buckets.returned(task.task.bucket);
      this.ended(task);
      this.#take([task]);
    }
    await this.#claiming;
    this.#pump();
    await Promise.all(this.#releases);
  }

  resume(): void {
    this.#paused = false;
    if (this.#running) this.#readLanes();
    this.wake();
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
    const startedAt = this.#deps.clock.monotonic();
    if (this.#throughput.measure(startedAt)) {
      this.#windowSize = this.#deps.windowSize + Math.min(EXTRA_MAX, this.#throughput.inAll);
      this.#releaseSurplus();
    }
    this.#send();
    this.#refill();
    this.#setAlarm(startedAt);
  }

  /** Gives back what was claimed ahead for hosts that were fast and are not any more, the last first. */
  #releaseSurplus(): void {
    const surplus = new Map<string, number>();
    for (const [host, ahead] of this.#ahead) {
      const most = AHEAD * this.#deps.hosts.limit(host);
      // What is left alone for a moment is not slow.
      if (most > 0 && ahead > Math.max(most, 2 * this.#throughput.of(host))) surplus.set(host, ahead - most);
    }
    if (surplus.size === 0) return;
    const kept = this.#window.toReversed().filter((task) => {
      const over = surplus.get(task.host) ?? 0;
      if (over === 0 || !this.#release(task)) return true;
      surplus.set(task.host, over - 1);
      return false;
    });
    this.#window = kept.reverse();
  }

  #send(): void {
    if (this.#window.length === 0) return;
    this.#releaseUnwanted();
    if (this.#isHeldBySuspect()) return;
    const { hosts } = this.#deps;
    const full = new Set<string>();
    // Mostly one permit has become free: it is not worth looking at those whose hosts are known to be full.
    for (let at = 0; this.channel.room > 0 && full.size < this.#ahead.size; ) {
      const task = this.#window[at];
      if (task === undefined) return;
      if (full.has(task.host)) {
        at++;
      } else if (hosts.room(task.host) === 0) {
        full.add(task.host);
        at++;
      } else {
        this.#sendOne(task, at);
      }
    }
  }

  #sendOne(task: ClaimedTask, at: number): void {
    this.#deps.hosts.acquire(task.host);
    this.#deps.buckets.sent(task.task.bucket);
    this.#window.splice(at, 1);
    this.#count(task, -1);
    this.#out.add(task.id);
    this.#throughput.sent(task.host);
    this.channel.send(task);
  }

  /** Whether nothing else may begin: a suspect is at work, or waits for the others to end. Sends it once they have. */
  #isHeldBySuspect(): boolean {
    if (this.#alone !== undefined) return true;
    if (this.#suspectsAhead === 0) return false;
    const at = this.#window.findIndex((task) => isSuspect(task) && this.#deps.hosts.room(task.host) > 0);
    const suspect = this.#window[at];
    if (suspect === undefined) return false;
    if (this.#out.size === 0) {
      this.#alone = suspect.id;
      this.#sendOne(suspect, at);
    }
    return true;
  }

  /** Gives back what nobody is to work on now, wherever it goes, and what would wait in the window for too long. */
  #releaseUnwanted(): void {
    const { hosts, buckets, source } = this.#deps;
    const cancelling = those(this.#aheadByJob, (job) => source.isCancelling(job));
    const isShut = (host: string) => hosts.closedFor(host) > WINDOW_WAIT_MAX_MS;
    const shut = hosts.hasClosed ? those(this.#ahead, isShut) : NONE;
    const away = those(this.#aheadByBucket, (bucket) => buckets.room(bucket) === 0);
    if (!this.#paused && cancelling.size + shut.size + away.size === 0) return;
    this.#window = this.#window.filter((task) => {
      const isUnwanted =
        this.#paused || cancelling.has(task.job.seq) || shut.has(task.host) || away.has(task.task.bucket);
      return !isUnwanted || !this.#release(task);
    });
  }

  /** Gives a task back to the queue. False if that has just failed, and is to be tried later. */
  #release(task: ClaimedTask): boolean {
    const { clock, source, onError } = this.#deps;
    if (clock.monotonic() < this.#releasesFrom) return false;
    this.#count(task, -1);
    const released = source
      .release(task)
      .then(() => {})
      .catch((error: unknown) => {
        onError(error);
        this.#releasesFrom = clock.monotonic() + RETRY_MS;
        this.#take([task]); // still ours
      })
      .finally(() => this.#releases.delete(released));
    this.#releases.add(released);
    return true;
  }

  /**
   * Whether to claim now: half a window at a time, or what fits where the workers want tasks and those in the window
   * wait for their hosts.
   */
  get #isToRefill(): boolean {
    const room = this.#windowSize - this.#window.length;
    if (this.#paused || this.#claiming !== undefined || room <= 0) return false;
    return room >= this.#windowSize / 2 || this.channel.room > 0;
  }

  #refill(): void {
    if (!this.#isToRefill) return;
    if (this.#lanesLeftOut && this.#lanes.size < LANES_MAX / 2) this.#readLanes();
    const { hosts, buckets, clock, source } = this.#deps;
    const limits = {
      ofHost: (host: string) => this.#roomAhead(host, hosts.limit(host)),
      closedFor: (host: string) => hosts.closedFor(host),
      ofBucket: (bucket: string) => buckets.room(bucket) - (this.#aheadByBucket.get(bucket) ?? 0),
    };
    const chosen = this.#lanes.choose(this.#windowSize - this.#window.length, limits, clock.steady());
    if (chosen.size === 0) return void (this.#lanes.hasUnseen && this.#chooseOn());
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

  /** More is claimed only once half of it is gone. None while the host is left alone. */
  #roomAhead(host: string, limit: number): number {
    const most = limit === 0 ? 0 : Math.max(AHEAD * limit, Math.min(EXTRA_MAX, this.#throughput.of(host)));
    const ahead = this.#ahead.get(host) ?? 0;
    return ahead > most / 2 ? 0 : most - ahead;
  }

  #take(tasks: readonly ClaimedTask[]): void {
    for (const task of tasks) {
      this.#window.push(task);
      this.#count(task, 1);
    }
  }

  async #claimFailed(error: unknown): Promise<void> {
    this.#deps.onError(error);
    await delay(this.#deps.clock, RETRY_MS, this.#stopping.signal).catch(() => {}); // stopping
    if (this.#running) this.#readLanes();
  }

  /** Keeps how many tasks of each host, for each bucket and of each job are in the window. */
  #count(claimed: ClaimedTask, change: 1 | -1): void {
    add(this.#ahead, claimed.host, change);
    add(this.#aheadByBucket, claimed.task.bucket, change);
    add(this.#aheadByJob, claimed.job.seq, change);
    if (isSuspect(claimed)) this.#suspectsAhead += change;
  }

  #noteLane(lane: Lane): void {
    if (this.#lanes.size >= LANES_MAX && !this.#lanes.has(lane.id)) {
      this.#lanesLeftOut = true;
      return;
    }
    this.#lanes.set(lane, this.#deps.clock.steady());
    this.wake();
  }

  #readLanes(): void {
    this.#readAllLanes(++this.#readings).catch((error: unknown) => this.#claimFailed(error));
  }

  /** Reads the lanes anew, page by page; a later reading takes the place of this one. */
  async #readAllLanes(reading: number): Promise<void> {
    const { source, clock } = this.#deps;
    const isOver = () => reading !== this.#readings || !this.#running;
    this.#lanesLeftOut = false;
    while (this.#lanes.dropSleepers(LANES_AT_ONCE)) {
      await setImmediate();
      if (isOver()) return;
    }
    for (let last: Lane | undefined; this.#lanes.size < LANES_MAX; ) {
      const page = source.lanes(LANES_AT_ONCE, last);
      for (const lane of page) this.#lanes.set(lane, clock.steady());
      last = page.at(-1);
      if (page.length < LANES_AT_ONCE) return;
      this.wake();
      await setImmediate();
      if (isOver()) return;
    }
    this.#lanesLeftOut = true;
  }

  /** Goes on with a choice that had looked at too many lanes, when everybody else has had a turn. */
  async #chooseOn(): Promise<void> {
    await setImmediate();
    this.wake();
  }

  /**
   * Wakes the broker when the first lane is due or the first host may be tried again. What has opened since the round
   * began may have come too late for it; what was open before has had its chance.
   */
  #setAlarm(roundBegan: number): void {
    const { clock, hosts, buckets } = this.#deps;
    const now = clock.monotonic();
    let at = now + ALARM_MAX_MS;
    for (const opensAt of [hosts.nextOpening(roundBegan), buckets.nextOpening(roundBegan)]) {
      if (opensAt !== undefined && opensAt > roundBegan) at = Math.min(at, opensAt);
    }
    // Where nothing is to be claimed now, what makes room wakes the broker.
    const due = this.#isToRefill ? this.#lanes.nextDue() : undefined;
    if (due !== undefined) at = Math.min(at, now + due - clock.steady());
    at = Math.max(at, now + 1);
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

const NONE: ReadonlySet<never> = new Set<never>();

/** Those of which it is true: nearly always none. */
function those<K>(ahead: ReadonlyMap<K, number>, isSo: (name: K) => boolean): ReadonlySet<K> {
  let found: Set<K> | undefined;
  for (const name of ahead.keys()) if (isSo(name)) (found ??= new Set()).add(name);
  return found ?? NONE;
}

function add<K>(counts: Map<K, number>, name: K, change: number): void {
  const count = (counts.get(name) ?? 0) + change;
  if (count <= 0) counts.delete(name);
  else counts.set(name, count);
}
