import { Broker } from "../../src/dispatch/broker.ts";
import type { BrokerDeps, BrokerSource, BucketGate, HostPermits } from "../../src/dispatch/broker-ports.ts";
import type { Lane } from "../../src/jobs/lane.ts";
import type { ClaimedTask } from "../../src/jobs/task.ts";
import { HostGovernor } from "../../src/worker/hosts/host-governor.ts";
import { HostRules } from "../../src/worker/hosts/host-rules.ts";
import { acceptance, newJob, newTasks } from "../support/sample-jobs.ts";
import { openTestStores, type TestStores } from "../support/stores.ts";

export const OPEN_BUCKETS: BucketGate = {
  room: () => Number.POSITIVE_INFINITY,
  nextOpening: () => undefined,
  sent: () => {},
  returned: () => {},
};

export interface RigOptions extends Partial<Pick<BrokerDeps, "channelSize" | "windowSize" | "buckets">> {
  readonly hostLimit?: number;
  /** Starts a second for each host; 0, the default, for any number. */
  readonly ratePerSecond?: number;
}

/** A broker on a real queue and a real host governor; who receives from its channel plays the workers. */
export class BrokerRig implements AsyncDisposable {
  readonly stores: TestStores = openTestStores();
  readonly errors: unknown[] = [];
  readonly governor: HostGovernor;
  readonly broker: Broker;
  readonly windowSize: number;
  /** Set to let claims or releases fail. */
  claimError: Error | undefined;
  releaseError: Error | undefined;
  /** Told of each page of lanes that is read. */
  onLanes: (lanes: readonly Lane[]) => void = () => {};
  /** Set to keep pages of lanes back until it resolves. */
  lateLanes: Promise<void> | undefined;
  /** Pages of lanes that were read. */
  pages = 0;
  claims = 0;
  #pumps = 0;
  /** How many tasks of a host were ever in workers' hands and in the channel at once. */
  readonly busiest = new Map<string, number>();
  readonly #busy = new Map<string, number>();
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(options: RigOptions = {}) {
    const { channelSize = 4, windowSize = 16, hostLimit = 4, ratePerSecond = 0, buckets = OPEN_BUCKETS } = options;
    const { clock, queue } = this.stores;
    this.windowSize = windowSize;
    const rules = new HostRules({ maxConcurrency: hostLimit, ratePerSecond, breakerFailures: 0 });
    this.governor = new HostGovernor({ rules, clock, onFree: () => this.broker.wake() });
    const source: BrokerSource = {
      lanes: async (limit, after) => {
        const lanes = await queue.source.lanes(limit, after);
        this.pages++;
        this.onLanes(lanes);
        await this.lateLanes;
        return lanes;
      },
      onLane: (listener: (lane: Lane) => void) => queue.source.onLane(listener),
      claim: (requests) => {
        this.claims++;
        return this.#follow(
          this.claimError === undefined ? queue.source.claim(requests) : Promise.reject(this.claimError),
        );
      },
      isCancelling: (job) => queue.cancellations.isCancelling(job),
      release: (task) =>
        this.#follow(
          this.releaseError === undefined ? queue.settlements.release(task) : Promise.reject(this.releaseError),
        ),
    };
    // Each round of the broker asks once when the first host opens.
    const { governor } = this;
    const hosts: HostPermits = {
      room: (host) => governor.room(host),
      limit: (host) => governor.limit(host),
      get hasClosed() {
        return governor.hasClosed;
      },
      closedFor: (host) => governor.closedFor(host),
      acquire: (host) => governor.acquire(host),
      release: (host) => governor.release(host),
      nextOpening: (since) => {
        this.#pumps++;
        return governor.nextOpening(since);
      },
    };
    const onError = (error: unknown) => void this.errors.push(error);
    this.broker = new Broker({ source, hosts, buckets, clock, channelSize, windowSize, onError });
  }

  /** Rounds of the broker so far. */
  pumps(): number {
    return this.#pumps;
  }

  /** Lets everything happen that needs neither a worker nor time. */
  async settleDown(): Promise<void> {
    await this.stores.clock.advance(0);
    while (this.#underWay.size > 0) {
      this.stores.queue.flush();
      await Promise.allSettled(this.#underWay);
      await this.stores.clock.advance(0);
    }
  }

  async advance(ms: number): Promise<void> {
    await this.stores.clock.advance(ms);
    await this.settleDown();
  }

  async accept(tasks: number, hosts?: readonly string[], more: Parameters<typeof newJob>[0] = {}): Promise<string> {
    const job = newJob({ createdAt: this.stores.clock.now(), ...more });
    await this.stores.now(this.stores.queue.acceptor.accept(acceptance(newTasks(tasks, hosts), { job })));
    return job.jobId;
  }

  /** Takes what is in the channel now; the tasks stay with the workers. */
  async take(count = Number.POSITIVE_INFINITY): Promise<ClaimedTask[]> {
    const taken: ClaimedTask[] = [];
    await this.settleDown();
    while (taken.length < count && this.broker.channel.length > 0) {
      const task = await this.broker.channel.receive(new AbortController().signal);
      this.#countBusy(task, 1);
      taken.push(task);
      await this.settleDown();
    }
    return taken;
  }

  /** A worker is done with its task. */
  finish(task: ClaimedTask): void {
    this.#countBusy(task, -1);
    this.governor.release(task.host);
    this.broker.ended(task);
  }

  /** Works one task after the other until there is nothing more to take now, or `count` are done. */
  async work(count = Number.POSITIVE_INFINITY): Promise<ClaimedTask[]> {
    const done: ClaimedTask[] = [];
    while (done.length < count) {
      const [task] = await this.take(1);
      if (task === undefined) break;
      this.finish(task);
      done.push(task);
    }
    return done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const stopped = this.broker.stop();
    this.stores.queue.flush();
    await stopped;
    await this.stores[Symbol.asyncDispose]();
  }

  #countBusy({ host }: ClaimedTask, change: number): void {
    const busy = (this.#busy.get(host) ?? 0) + change;
    this.#busy.set(host, busy);
    this.busiest.set(host, Math.max(busy, this.busiest.get(host) ?? 0));
  }

  #follow<T>(work: Promise<T>): Promise<T> {
    const done = work.finally(() => this.#underWay.delete(done));
    this.#underWay.add(done);
    return done;
  }
}
