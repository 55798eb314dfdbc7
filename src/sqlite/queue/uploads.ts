import type { OpenUpload } from "../../jobs/object-store.ts";
import type { QueueContext } from "./context.ts";

export interface RecordedUpload extends OpenUpload {
  readonly task: number;
  readonly claimId: number;
}

/** Remembers an upload, so that start-up can clean up after a crash. Settling the claim forgets it. */
export function recordUpload(context: QueueContext, upload: RecordedUpload): void {
  context.db
    .query<never, [number, number, string, string, string]>(
      "INSERT OR REPLACE INTO uploads (task, claim_id, bucket, key, upload_id) VALUES (?, ?, ?, ?, ?)",
    )
    .run(upload.task, upload.claimId, upload.bucket, upload.key, upload.uploadId);
}

/** All recorded uploads; at start, those that a crash left open. */
export function readUploads(context: QueueContext): RecordedUpload[] {
  return context.db
    .query<RecordedUpload, []>(
      "SELECT task, claim_id AS claimId, bucket, key, upload_id AS uploadId FROM uploads ORDER BY task, claim_id",
    )
    .all();
}

export function forgetUpload(context: QueueContext, { task, claimId, uploadId }: RecordedUpload): void {
  context.db
    .query<never, [number, number, string]>("DELETE FROM uploads WHERE task = ? AND claim_id = ? AND upload_id = ?")
    .run(task, claimId, uploadId);
}

export function forgetUploadsOf(context: QueueContext, task: number, claimId: number): void {
  context.db.query<never, [number, number]>("DELETE FROM uploads WHERE task = ? AND claim_id = ?").run(task, claimId);
}
