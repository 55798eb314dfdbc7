import type { FailureCode } from "../../jobs/failure.ts";
import type { HostChange, HostRecord } from "../../jobs/host-record.ts";
import type { HostGroup, HostStatus, HostView } from "../../jobs/host-view.ts";
import type { Clock } from "../../std/clock.ts";
import { HostMachine } from "./host-machine.ts";
import type { HostRules } from "./host-rules.ts";
import { type HostCounts, HostTally } from "./host-tally.ts";
import { Openings } from "./openings.ts";

/** Most hosts in memory; the oldest one without a download makes room. */
const HOSTS_MAX = 100_000;

interface HostGovernorDeps {
  readonly rules: HostRules;
  readonly clock: Pick<Clock, "steady" | "monotonic">;
  /** Called when a permit is free again. */
  readonly onFree: () => void;
  /** Called when a host must not be asked for a while: that should be written down at once. */
  readonly onClosed?: () => void;
}

/**
 * Decides how many downloads from each host (name and port) may start now, over all jobs. A task that waits for its
 * host waits in the queue and occupies no worker. The states of one host and their rules are in `HostMachine`.
 */
export class HostGovernor {
  readonly #deps: HostGovernorDeps;
  readonly #hosts = new Map<string, HostMachine>();
  /** Hosts that may be closed for a time. */
  readonly #closed = new Openings();
  readonly #tally = new HostTally();
  /** Hosts whose record may be out of date. */
  readonly #changed = new Set<string>();
  #taken: ReadonlySet<string> = new Set();
  #rules: HostRules;

  constructor(deps: HostGovernorDeps) {
    this.#deps = deps;
    this.#rules = deps.rules;
  }

  /** Takes other limits; running downloads continue. */
  setRules(rules: HostRules): void {
    this.#rules = rules;
    const now = this.#now();
    for (const [host, machine] of this.#hosts) {
      if (machine.setLimits(rules.limitsOf(host), now)) this.#changed.add(host);
      if (this.#closed.has(host)) this.#closed.note(host, machine.opensAt);
      this.#tally.note(host, machine, now);
    }
    this.#deps.onFree();
  }

  /** The number of hosts in memory. */
  get size(): number {
    return this.#hosts.size;
  }

  /** The numbers of hosts in memory by state: those with a download, a restriction or failures in a row. */
  counts(): HostCounts {
    return this.#tally.counts(this.#now(), (host) => this.#hosts.get(host));
  }

  /** Downloads that may start now. */
  room(host: string): number {
    return Math.max(0, this.limit(host) - (this.#hosts.get(host)?.underWay ?? 0));
  }

  /** Most downloads that may run at once; 0 while the host is closed. */
  limit(host: string): number {
    return this.#hosts.get(host)?.limitAt(this.#now()) ?? this.#rules.limitsOf(host).maxConcurrency;
  }

  /** The same without the time between two starts that the host's rate imposes. */
  concurrency(host: string): number {
    return this.#hosts.get(host)?.concurrencyAt(this.#now()) ?? this.#rules.limitsOf(host).maxConcurrency;
  }

  /** Whether any host may be closed now. */
  get hasClosed(): boolean {
    return this.#closed.size > 0;
  }

  /** For how many more milliseconds the host is closed. */
  closedFor(host: string): number {
    const machine = this.#hosts.get(host);
    return machine === undefined ? 0 : Math.max(0, machine.opensAt - this.#now());
  }

  /** The host's state and its reason. */
  view(host: string): HostView {
    const machine = this.#hosts.get(host) ?? new HostMachine(this.#rules.limitsOf(host));
    return machine.viewAt(this.#now());
  }

  /** Whether the host is in memory. */
  has(host: string): boolean {
    return this.#hosts.has(host);
  }

  /** The hosts in memory, or those with a restriction. A change while the caller iterates may show or not. */
  hosts(group?: Exclude<HostGroup, "open">): Iterable<string> {
    if (group === undefined) return this.#hosts.keys();
    return this.#tally.restricted(group, this.#now(), (host) => this.#hosts.get(host));
  }

  /** The host's state with its numbers. `record` has the state of a host that is in queue.db alone. */
  status(host: string, record?: HostRecord): HostStatus {
    const now = this.#now();
    const machine = this.#hosts.get(host) ?? this.#unknown(host, record, now);
    return {
      ...machine.viewAt(now),
      rule: this.#rules.patternOf(host),
      limit: machine.concurrencyAt(now),
      currentLimit: machine.currentLimit,
      permitted: machine.underWay,
      closedForMs: Math.max(0, machine.opensAt - now),
      failuresInARow: machine.failuresInARow,
      unavailableMs: machine.unavailableFor(now),
    };
  }

  /** Lets one download test a closed host now. False if the host is not closed. */
  reopen(host: string, record?: HostRecord): boolean {
    if (!this.#hosts.has(host) && record !== undefined) this.restore([record]);
    const machine = this.#hosts.get(host);
    const now = this.#now();
    if (machine?.reopen(now) !== true) return false;
    this.#closed.note(host, machine.opensAt);
    this.#tally.note(host, machine, now);
    this.#writeDown(host);
    this.#deps.onFree();
    return true;
  }

  acquire(host: string): void {
    const machine = this.#machine(host);
    const now = this.#now();
    machine.started(now);
    this.#noteClosed(host, machine, now);
  }

  /** Takes the permit back. `tookMs` is the download's duration; 0 if no worker took the task. */
  release(host: string, tookMs = 0): void {
    const machine = this.#machine(host);
    const now = this.#now();
    machine.ended(tookMs, now);
    this.#noteClosed(host, machine, now);
    this.#forgetIfFresh(host, machine, now);
    this.#deps.onFree();
  }

  /** The host answered: its breaker closes, and a slowed host may take more. */
  answered(host: string): void {
    const machine = this.#hosts.get(host);
    if (machine === undefined) return;
    const now = this.#now();
    if (machine.answered(now)) this.#changed.add(host);
    if (this.#closed.has(host)) this.#closed.note(host, machine.opensAt);
    this.#tally.note(host, machine, now);
  }

  /** Closes the host for a while, for every job. */
  throttle(host: string, ms: number): void {
    const now = this.#now();
    const machine = this.#machine(host);
    machine.pauseUntil(now + ms, now);
    this.#closed.note(host, machine.opensAt);
    this.#tally.note(host, machine, now);
    this.#writeDown(host);
  }

  /** The host reported overload. To be called before the download's `release`. */
  complained(host: string, code?: FailureCode): void {
    const now = this.#now();
    const machine = this.#machine(host);
    machine.complained(now, code);
    this.#tally.note(host, machine, now);
    this.#writeDown(host);
  }

  /** The host asked for a pause. That is an answer, too: it closes the breaker. */
  throttled(host: string, ms: number, code?: FailureCode): void {
    const now = this.#now();
    const machine = this.#machine(host);
    machine.throttled(now + ms, now, code);
    this.#closed.note(host, machine.opensAt);
    this.#tally.note(host, machine, now);
    this.#writeDown(host);
  }

  /** The host had a transient failure; enough of them in a row open its breaker. */
  failed(host: string, code?: FailureCode): void {
    const now = this.#now();
    const machine = this.#machine(host);
    const effect = machine.failed(now, code);
    this.#tally.note(host, machine, now);
    if (effect === "slowed") this.#changed.add(host);
    if (effect !== "breaker") return;
    this.#closed.note(host, machine.opensAt);
    this.#writeDown(host);
  }

  /** When the first closed host opens, if that is after `since`; by the monotonic clock. */
  nextOpening(since = this.#now()): number | undefined {
    const onOpen = (host: string) => {
      const machine = this.#hosts.get(host);
      if (machine !== undefined) this.#forgetIfFresh(host, machine, this.#now());
    };
    return this.#closed.next(since, (host) => this.#hosts.get(host)?.opensAt ?? 0, onOpen);
  }

  /** Hosts that no probe has reached for at least `ms`, each with its number of milliseconds. */
  unavailable(ms: number): Map<string, number> {
    const found = new Map<string, number>();
    const now = this.#now();
    for (const [host, machine] of this.#hosts) {
      const unavailableMs = machine.unavailableFor(now);
      if (unavailableMs !== undefined && unavailableMs >= ms) found.set(host, unavailableMs);
    }
    return found;
  }

  /** For how many milliseconds the host has been closed or tested; `undefined` if it is not, or that is unknown. */
  closedSinceMs(host: string): number | undefined {
    return this.#hosts.get(host)?.closedSinceMs(this.#now());
  }

  /** The number of running downloads, by host. */
  running(): Map<string, number> {
    const running = new Map<string, number>();
    for (const [host, { underWay }] of this.#hosts) if (underWay > 0) running.set(host, underWay);
    return running;
  }

  /** A pause of the queue is over, after `pausedMs`: it counts against no host. */
  resumed(pausedMs: number): void {
    const now = this.#now();
    for (const [host, machine] of this.#hosts) if (machine.shiftDeadlines(pausedMs, now)) this.#changed.add(host);
  }

  /** Adds the hosts that an earlier process wrote down, once queue.db has moved their times into this process's. */
  restore(records: Iterable<HostRecord>): void {
    const [now, ahead] = [this.#now(), this.#steadyAhead];
    for (const record of records) {
      const { host } = record;
      const machine = HostMachine.restored(record, this.#rules.limitsOf(host), now, ahead);
      this.#hosts.set(host, machine);
      this.#closed.note(host, machine.opensAt);
      this.#tally.note(host, machine, now);
    }
  }

  get hasChanges(): boolean {
    return this.#changed.size > 0;
  }

  /** The changes since the last call, to be written down. */
  takeChanges(): HostChange[] {
    this.#taken = new Set(this.#changed);
    this.#changed.clear();
    const [now, ahead] = [this.#now(), this.#steadyAhead];
    return [...this.#taken].map((host): HostChange => {
      const machine = this.#hosts.get(host);
      return machine?.isWorthRemembering(now) === true ? machine.record(host, ahead) : { host, forget: true };
    });
  }

  /** Takes the latest changes back: they could not be written down. */
  changesAreLost(): void {
    for (const host of this.#taken) this.#changed.add(host);
  }

  #now(): number {
    return this.#deps.clock.monotonic();
  }

  /** Records are by the steady clock, because each process has a monotonic clock of its own. */
  get #steadyAhead(): number {
    return this.#deps.clock.steady() - this.#deps.clock.monotonic();
  }

  #noteClosed(host: string, machine: HostMachine, now: number): void {
    if (machine.opensAt > now) this.#closed.note(host, machine.opensAt);
  }

  #writeDown(host: string): void {
    this.#changed.add(host);
    this.#deps.onClosed?.();
  }

  /** The machine of a host that is not in memory. */
  #unknown(host: string, record: HostRecord | undefined, now: number): HostMachine {
    const limits = this.#rules.limitsOf(host);
    return record === undefined
      ? new HostMachine(limits)
      : HostMachine.restored(record, limits, now, this.#steadyAhead);
  }

  #machine(host: string): HostMachine {
    let machine = this.#hosts.get(host);
    if (machine === undefined) {
      if (this.#hosts.size >= HOSTS_MAX) this.#forgetOldest();
      machine = new HostMachine(this.#rules.limitsOf(host));
      this.#hosts.set(host, machine);
      this.#tally.note(host, machine, this.#now());
    }
    return machine;
  }

  #forgetIfFresh(host: string, machine: HostMachine, now: number): void {
    if (!machine.isFresh(now)) return;
    this.#forget(host);
    if (machine.mayHaveRecord) this.#changed.add(host);
  }

  #forgetOldest(): void {
    const now = this.#now();
    for (const [host, machine] of this.#hosts) {
      if (machine.underWay > 0) continue;
      if (machine.isWorthRemembering(now)) this.#changed.add(host);
      this.#forget(host);
      return;
    }
  }

  #forget(host: string): void {
    this.#hosts.delete(host);
    this.#tally.forget(host);
  }
}
