import { type RecordedUpload } from "../../jobs/stores/settlements.ts";
import type { QueueContext } from "../queue/queue-context.ts";
import { addOrphan } from "./orphans.ts";

/** Records an upload of a running attempt, so that it can be cleaned up however the attempt ends. */
export function recordUpload(context: QueueContext, upload: RecordedUpload): void {
  context.db
    .query<never, [number, number, string, string, string]>(
      "INSERT OR REPLACE INTO uploads (task, claim_id, bucket, key, upload_id) VALUES (?, ?, ?, ?, ?)",
    )
    .run(upload.task, upload.claimId, upload.bucket, upload.key, upload.uploadId);
}

const COLUMNS = "task, claim_id AS claimId, bucket, key, upload_id AS uploadId";

/** Recorded uploads; at the start, those that a crash left open. */
export function readUploads(context: QueueContext): RecordedUpload[] {
  return context.db.query<RecordedUpload, []>(`SELECT ${COLUMNS} FROM uploads ORDER BY task, claim_id`).all();
}

/** Recorded uploads whose claim has ended: an overdue attempt recorded them after its task was settled. */
export function readUnclaimed(context: QueueContext): RecordedUpload[] {
  return context.db
    .query<RecordedUpload, []>(
      `SELECT ${COLUMNS} FROM uploads u
       WHERE NOT EXISTS (SELECT 1 FROM tasks t WHERE t.id = u.task AND t.claim_id = u.claim_id)`,
    )
    .all();
}

/** Makes orphans of the open uploads of an ending claim. Runs inside a transaction. */
export function leaveUploadsOf(
  context: QueueContext,
  task: number,
  claimId: number,
  closed: ReadonlySet<string>,
): void {
  const uploads = context.db
    .query<RecordedUpload, [number, number]>(`SELECT ${COLUMNS} FROM uploads WHERE task = ? AND claim_id = ?`)
    .all(task, claimId);
  leaveUploads(
    context,
    uploads.filter(({ uploadId }) => !closed.has(uploadId)),
  );
  context.db.query<never, [number, number]>("DELETE FROM uploads WHERE task = ? AND claim_id = ?").run(task, claimId);
}

/** Makes orphans of recorded uploads. Runs inside a transaction. */
export function leaveUploads(context: QueueContext, uploads: readonly RecordedUpload[]): void {
  const forget = context.db.query<never, [number, number, string]>(
    "DELETE FROM uploads WHERE task = ? AND claim_id = ? AND upload_id = ?",
  );
  for (const { task, claimId, bucket, key, uploadId } of uploads) {
    addOrphan(context, { task, bucket, key, kind: "upload", name: uploadId });
    forget.run(task, claimId, uploadId);
  }
}
