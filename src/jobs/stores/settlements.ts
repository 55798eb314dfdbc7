import type { OpenUpload } from "../object-store.ts";
import type { ClaimedTask } from "../task.ts";
import type { Settlement } from "../verdict.ts";

export interface RecordedUpload extends OpenUpload {
  readonly task: number;
  readonly claimId: number;
}

/** Ends claims. A stale claim, one that another process or an operator has ended, changes nothing. */
export interface Settlements {
  /** Notes that a worker has started a claimed task: from now on a crash counts against it. */
  markStarted(claimed: ClaimedTask): Promise<void>;
  /** Ends a claim as the verdict says. Resolves to false if the claim is stale. */
  settle(settlement: Settlement): Promise<boolean>;
  /** Puts a claimed task back and spends no attempt. Resolves to false if the claim is stale. */
  release(claimed: ClaimedTask): Promise<boolean>;
  /** Remembers an open upload. Settling its task forgets it, or makes an orphan of it. */
  recordUpload(upload: RecordedUpload): Promise<void>;
}
