import type { TaskSource } from "../jobs/stores/task-source.ts";
import type { ClaimedTask } from "../jobs/task.ts";
import type { Clock } from "../std/clock.ts";

/** The part of queue.db that the broker uses. */
export interface BrokerSource extends Pick<TaskSource, "lanes" | "onLane" | "claim"> {
  /** Puts a claimed task back where it was. */
  release(claimed: ClaimedTask): Promise<unknown>;
  /** Whether a job was cancelled since its tasks were claimed. */
  isCancelling(job: number): boolean;
}

/** Tells the broker which hosts may be asked now. */
export interface HostPermits {
  /** The number of tasks of a host that may start now. */
  room(host: string): number;
  /** The most tasks that may run at once; 0 while the host is left alone. */
  limit(host: string): number;
  /** Whether any host may be left alone now. */
  readonly hasClosed: boolean;
  /** For how many more milliseconds the host is left alone. */
  closedFor(host: string): number;
  acquire(host: string): void;
  release(host: string): void;
  /** When the first closed host may be tried again, if after `since`; by the monotonic clock. */
  nextOpening(since: number): number | undefined;
}

/** Tells the broker which buckets can be written to. */
export interface BucketGate {
  /** The number of tasks for a bucket that may start now: 0 while it is closed, 1 to probe it. */
  room(bucket: string): number;
  /** To be called when a task for a bucket goes to a worker. */
  sent(bucket: string): void;
  /** To be called when a task that was sent comes back, since no worker took it. */
  returned(bucket: string): void;
  /** When the first closed bucket may be probed, if after `since`; by the monotonic clock. */
  nextOpening(since: number): number | undefined;
}

export interface BrokerDeps {
  readonly source: BrokerSource;
  readonly hosts: HostPermits;
  readonly buckets: BucketGate;
  readonly clock: Clock;
  /** Bound of the channel to the workers. */
  readonly channelSize: number;
  /** Claimed tasks in memory that no worker has, at most; some more while tasks are short. */
  readonly windowSize: number;
  readonly onError: (error: unknown) => void;
}
