import type { Lane } from "../jobs/lane.ts";
import type { ClaimedTask } from "../jobs/task.ts";
import type { Clock } from "../std/clock.ts";

/** What the broker needs of queue.db. */
export interface TaskSource {
  /** Lanes with waiting tasks, those that are due first at the front; those behind `after`, if it is given. */
  lanes(limit: number, after?: Pick<Lane, "id" | "nextDue">): Lane[];
  onLane(listener: (lane: Lane) => void): void;
  claim(requests: readonly { lane: number; limit: number }[]): Promise<ClaimedTask[]>;
  /** Puts a claimed task back where it was. */
  release(claimed: ClaimedTask): Promise<unknown>;
  /** Whether a job was cancelled since its tasks were claimed. */
  isCancelling(job: number): boolean;
}

/** What the broker needs to know of hosts: who may start now. */
export interface HostPermits {
  /** Tasks of a host that may start now. */
  room(host: string): number;
  /** Most that may ever run at once; 0 while the host is left alone. */
  limit(host: string): number;
  /** Whether any host may be left alone now. */
  readonly hasClosed: boolean;
  /** For how many more milliseconds the host is left alone. */
  closedFor(host: string): number;
  acquire(host: string): void;
  release(host: string): void;
  /** When the first of the hosts that are left alone may be tried again, if after `since`; by the monotonic clock. */
  nextOpening(since: number): number | undefined;
}

/** What the broker needs to know of buckets. */
export interface BucketGate {
  /** Tasks for a bucket that may start now: none while it cannot be written to, one to probe it. */
  room(bucket: string): number;
  /** A task for a bucket goes to a worker. */
  sent(bucket: string): void;
  /** A task that was sent comes back: no worker took it. */
  returned(bucket: string): void;
  /** When the first closed bucket may be probed, if after `since`; by the monotonic clock. */
  nextOpening(since: number): number | undefined;
}

export interface BrokerDeps {
  readonly source: TaskSource;
  readonly hosts: HostPermits;
  readonly buckets: BucketGate;
  readonly clock: Clock;
  /** Bound of the channel to the workers. */
  readonly channelSize: number;
  /**
   * Claimed tasks that wait for their host's permit or a place in the channel, at most; some more while tasks are
   * short.
   */
  readonly windowSize: number;
  readonly onError: (error: unknown) => void;
}
