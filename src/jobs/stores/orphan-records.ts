import type { ObjectRef } from "../object-store.ts";
import type { ClaimedTask } from "../task.ts";

/** An open upload, or an object that a request may still store. */
export type OrphanKind = "upload" | "object";

/** The `task` of an orphan that no task left, but the manifest of a job. */
export const NO_TASK = 0;

export interface NewOrphan extends ObjectRef {
  readonly task: number;
  readonly kind: OrphanKind;
  /** The id of the upload ("": whatever is open under the key), or the token that the object carries. */
  readonly name: string;
}

/** An upload that is open, one that may be or may yet come, and an object that may yet come. */
export const ORPHAN_SORTS = ["upload", "late_upload", "late_object"] as const;

export type OrphanSort = (typeof ORPHAN_SORTS)[number];

export function sortOf({ kind, name }: Pick<NewOrphan, "kind" | "name">): OrphanSort {
  if (kind === "object") return "late_object";
  return name === "" ? "late_upload" : "upload";
}

/** What an attempt left in the storage, or may have left. Times are of the steady clock. */
export interface Orphan extends NewOrphan {
  readonly id: number;
  readonly leftAt: number;
  /** How often it was looked at, and how many looks in a row failed until now. */
  readonly looks: number;
  readonly failures: number;
}

/** When an orphan is looked at next. */
export interface Postponed {
  readonly id: number;
  readonly dueAt: number;
  readonly looks: number;
  readonly failures: number;
}

/** What a round of looks came to. */
export interface OrphanChanges {
  readonly ended: readonly number[];
  readonly postponed: readonly Postponed[];
}

/** Records what attempts left in the storage. */
export interface OrphanRecords {
  /**
   * The token of a claim's upload. It follows from what is durable at the claim, so that no upload needs a record of
   * its own before it begins.
   */
  tokenOf(claimed: Pick<ClaimedTask, "id" | "claimId">): string;
  /** Takes over all uploads that the last process left open, and makes every orphan due. For the start. */
  begin(): Promise<void>;
  /** Records an orphan, or restarts the watch of a known one; durable when it resolves. */
  add(orphan: NewOrphan): Promise<void>;
  /** Takes over uploads that an attempt recorded after its task was settled. */
  adopt(): Promise<void>;
  /** Keys with due orphans, the longest due first. */
  dueKeys(sorts: readonly OrphanSort[], limit: number): Promise<ObjectRef[]>;
  /** The due orphans under one key. */
  dueUnder(ref: ObjectRef): Promise<Orphan[]>;
  note(changes: OrphanChanges): Promise<void>;
  counts(): Promise<Record<OrphanSort, number>>;
}
