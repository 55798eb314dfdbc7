import { randomUUID } from "node:crypto";
import type { ObjectRef } from "../../jobs/object-store.ts";
import {
  type NewOrphan,
  type Orphan,
  type OrphanChanges,
  type OrphanRecords,
  type OrphanSort,
} from "../../jobs/stores/orphan-records.ts";
import type { ClaimedTask } from "../../jobs/task.ts";
import { readMeta, writeMeta } from "../file/meta.ts";
import type { QueueContext } from "../queue/queue-context.ts";
import {
  addOrphan,
  countOrphans,
  forgetOrphans,
  makeAllDue,
  postponeOrphans,
  readDueKeys,
  readDueUnder,
} from "./orphans.ts";
import { leaveUploads, readUnclaimed, readUploads } from "./recorded-uploads.ts";

/** Keeps the records of uploads and objects that attempts left in the storage. */
export class UploadOrphans implements OrphanRecords {
  readonly #context: QueueContext;
  readonly #process = randomUUID();
  readonly #lastProcess: string;

  constructor(context: QueueContext) {
    this.#context = context;
    this.#lastProcess = readMeta(context.db, "upload_process");
  }

  /**
   * The token of a claim's upload. It is built from values that are durable at the claim, so that no upload needs its
   * own record before it starts. The part of the process makes it unique after a restored backup.
   */
  tokenOf(claimed: Pick<ClaimedTask, "id" | "claimId">): string {
    return token(this.#process, claimed);
  }

  /** The token of a claim of the last process; `undefined` if its version had no such tokens. */
  tokenBefore(claimed: Pick<ClaimedTask, "id" | "claimId">): string | undefined {
    return this.#lastProcess === "" ? undefined : token(this.#lastProcess, claimed);
  }

  /** Records the process whose tokens are used from now on. Runs inside a transaction, before the first claim. */
  noteProcess(): void {
    writeMeta(this.#context.db, "upload_process", this.#process);
  }

  /** Takes over all uploads that the last process left open, and makes all orphans due. For the start. */
  async begin(): Promise<void> {
    const done = this.#context.commit.run(() => {
      leaveUploads(this.#context, readUploads(this.#context));
      makeAllDue(this.#context);
    });
    this.#context.commit.flush();
    await done;
  }

  /** Records an orphan, or restarts the watch of a known one; durable when it resolves. */
  add(orphan: NewOrphan): Promise<void> {
    return this.#context.commit.run(() => addOrphan(this.#context, orphan));
  }

  /** Takes over uploads that an attempt recorded after its task was settled. */
  async adopt(): Promise<void> {
    if (readUnclaimed(this.#context).length === 0) return;
    await this.#context.commit.run(() => leaveUploads(this.#context, readUnclaimed(this.#context)));
  }

  /** Keys with orphans that are due, the longest due first. */
  async dueKeys(sorts: readonly OrphanSort[], limit: number): Promise<ObjectRef[]> {
    return readDueKeys(this.#context, sorts, limit);
  }

  async dueUnder(ref: ObjectRef): Promise<Orphan[]> {
    return readDueUnder(this.#context, ref);
  }

  note({ ended, postponed }: OrphanChanges): Promise<void> {
    return this.#context.commit.run(() => {
      forgetOrphans(this.#context, ended);
      postponeOrphans(this.#context, postponed);
    });
  }

  /** The number of orphans of each sort. */
  async counts(): Promise<Record<OrphanSort, number>> {
    return countOrphans(this.#context);
  }
}

function token(process: string, { id, claimId }: Pick<ClaimedTask, "id" | "claimId">): string {
  return `${process}.${id}.${claimId}`;
}
