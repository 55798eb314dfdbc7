import type { OpenUpload } from "../../jobs/object-store.ts";
import type { QueueContext } from "./context.ts";

export interface RecordedUpload extends OpenUpload {
  readonly task: number;
}

/** Remembers an upload, so that start-up can clean up after a crash. Settling the task forgets it. */
export function recordUpload(context: QueueContext, upload: RecordedUpload): void {
  context.db
    .query<never, [number, string, string, string]>(
      "INSERT OR REPLACE INTO uploads (task, bucket, key, upload_id) VALUES (?, ?, ?, ?)",
    )
    .run(upload.task, upload.bucket, upload.key, upload.uploadId);
}

/** Uploads that a crash left open: all that is there at start. */
export function readUploads(context: QueueContext): RecordedUpload[] {
  return context.db
    .query<RecordedUpload, []>("SELECT task, bucket, key, upload_id AS uploadId FROM uploads ORDER BY task")
    .all();
}

export function forgetUpload(context: QueueContext, { task, uploadId }: RecordedUpload): void {
  context.db.query<never, [number, string]>("DELETE FROM uploads WHERE task = ? AND upload_id = ?").run(task, uploadId);
}
