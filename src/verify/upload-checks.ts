import type { ObjectStore, OpenUpload } from "../jobs/object-store.ts";
import type { Findings } from "./findings.ts";
import type { LiveBooks } from "./live-books.ts";

export interface UploadChecksDeps {
  readonly store: Pick<ObjectStore, "openUploads">;
  readonly books: LiveBooks;
  readonly findings: Findings;
  /** A service works on the stores: what it has open may be recorded, or gone, in a moment. */
  readonly isRunning: boolean;
  readonly signal: AbortSignal;
}

const JOB_ID = /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/;

/**
 * Uploads that are open, of ours, and that nobody knows of. What is recorded, and temporaries that a crash left, the next
 * start removes. `before` is what was open when the check began.
 */
export async function checkUploads(
  buckets: readonly string[],
  before: readonly OpenUpload[],
  deps: UploadChecksDeps,
): Promise<OpenUpload[]> {
  const { books, findings, isRunning } = deps;
  const now = new Set((await listUploads(buckets, deps)).map(nameOf));
  const open = before.filter((upload) => now.has(nameOf(upload)) && !books.isRecorded(upload.key, upload.uploadId));
  const temporaries = open.filter(({ key }) => key === "");
  const strays = open.filter(({ key }) => isOurs(key, books));
  if (!isRunning && temporaries.length > 0) findings.unfinished.push(`${temporaries.length} temporary files`);
  if (isRunning && !books.hasClaims()) strays.push(...temporaries);
  for (const stray of strays) findings.breach("no upload is left open", `${nameOf(stray)} is of no running task`);
  return strays;
}

/** All that is open in some buckets. */
export async function listUploads(
  buckets: readonly string[],
  { store, signal }: Pick<UploadChecksDeps, "store" | "signal">,
): Promise<OpenUpload[]> {
  const uploads = new Map<string, OpenUpload>();
  for (const bucket of buckets) {
    for await (const upload of store.openUploads(bucket, signal)) uploads.set(nameOf(upload), upload);
  }
  return [...uploads.values()];
}

function isOurs(key: string, books: LiveBooks): boolean {
  const jobId = JOB_ID.exec(key)?.[0];
  return jobId !== undefined && books.hasJob(jobId);
}

function nameOf({ bucket, key, uploadId }: OpenUpload): string {
  return key === "" ? `temporary file ${uploadId}` : `upload ${uploadId} of ${bucket}/${key}`;
}
