import type { Lane } from "../lane.ts";
import type { ClaimedTask } from "../task.ts";

export interface LaneRequest {
  readonly lane: number;
  /** At most so many tasks of it. */
  readonly limit: number;
}

/** Gives tasks to the broker. */
export interface TaskSource {
  /** Calls `listener` after each commit with the new contents of every lane that changed, which may be a new lane. */
  onLane(listener: (lane: Lane) => void): void;
  /**
   * Lanes with waiting tasks, the first due first; with `after`, those behind it. A lane that a listener gets while
   * this reads may be older in the answer.
   */
  lanes(limit: number, after?: Pick<Lane, "id" | "nextDue">): Promise<Lane[]>;
  /** Lanes with waiting tasks and ids above `afterId`, in order of their ids. */
  lanesAfter(afterId: number, limit: number): Promise<Lane[]>;
  /**
   * Claims due tasks of some lanes, the oldest first; a lane with fewer due tasks gives fewer. `due` is a time of the
   * steady clock and defaults to now.
   */
  claim(requests: readonly LaneRequest[], due?: number): Promise<ClaimedTask[]>;
  /** Makes the first waiting task of a host due now. False, without a change, if one is due or no task waits. */
  bringForward(host: string): Promise<boolean>;
}
