import { isSuspect } from "../../jobs/crash-limit.ts";
import type { RecordedUpload, Settlements } from "../../jobs/stores/settlements.ts";
import type { ClaimedTask } from "../../jobs/task.ts";
import type { Settlement } from "../../jobs/verdict.ts";
import { recordUpload } from "../uploads/recorded-uploads.ts";
import { GATHER_MS, type QueueContext } from "./queue-context.ts";
import { settleTask } from "./settle-task.ts";

/**
 * The time that a settlement waits for others, so that commits are fewer and larger. It is longer than the time between
 * two claims of short tasks, so that settlements mostly share the commit of a claim. No worker waits for it.
 */
const SETTLE_GATHER_MS = 60;

export class ClaimSettlements implements Settlements {
  readonly #context: QueueContext;
  /** Settlements that wait for their commit. */
  #settling = 0;
  /** Resolves once the tasks that started since the last commit are noted. */
  #noted: Promise<void> | undefined;

  constructor(context: QueueContext) {
    this.#context = context;
  }

  markStarted(claimed: ClaimedTask): Promise<void> {
    this.#context.started.add(claimed.id);
    // All tasks that start before the commit share one member; `seal` writes the rows.
    if (this.#noted !== undefined) return this.#noted;
    let isOpen = true;
    const close = () => {
      isOpen = false;
      this.#noted = undefined;
    };
    // A suspect task waits for this commit, and every other task waits for the suspect.
    const gatherMs = isSuspect(claimed) ? GATHER_MS : SETTLE_GATHER_MS;
    const noted = this.#context.commit.run(close, gatherMs).finally(close);
    if (isOpen) this.#noted = noted;
    return noted;
  }

  settle(settlement: Settlement): Promise<boolean> {
    this.#settling++;
    // If every started task has ended, no other settlement is coming.
    const gatherMs = this.#settling >= this.#context.started.size ? GATHER_MS : SETTLE_GATHER_MS;
    const settled = this.#context.commit.run((changes) => settleTask(this.#context, settlement, changes), gatherMs);
    const end = () => void this.#settling--;
    settled.then(end, end);
    return settled;
  }

  release(claimed: ClaimedTask): Promise<boolean> {
    return this.settle({ claimed, verdict: { kind: "release" } });
  }

  recordUpload(upload: RecordedUpload): Promise<void> {
    this.#context.uploading.add(upload.task);
    return this.#context.commit.run(() => recordUpload(this.#context, upload));
  }
}
