import type { ObjectRef, ObjectStore, OpenUpload } from "../jobs/object-store.ts";
import { jobIdIn } from "../jobs/storage-keys.ts";
import { counted } from "../std/counted.ts";
import type { ExpectedObjects } from "./expected-objects.ts";
import type { Findings } from "./findings.ts";
import type { LiveStores } from "./live-stores.ts";
import type { ReadableBuckets } from "./readable-buckets.ts";

export interface UploadChecksDeps {
  readonly store: Pick<ObjectStore, "openUploads">;
  readonly expected: Pick<ExpectedObjects, "under">;
  readonly books: LiveStores;
  readonly findings: Findings;
  /** A service works on the stores: what it has open may be recorded, or gone, in a moment. */
  readonly isRunning: boolean;
  readonly signal: AbortSignal;
}

/**
 * Uploads that are open, of ours, and that nobody knows of. Temporaries that a crash left, the next start removes; what
 * is recorded, the service aborts. `before` is what was open when the check began.
 */
export async function checkUploads(
  buckets: ReadableBuckets,
  before: readonly OpenUpload[],
  deps: UploadChecksDeps,
): Promise<OpenUpload[]> {
  const { books, findings, isRunning } = deps;
  const now = new Set((await listUploads(buckets, deps)).map(nameOf));
  const open = before.filter((upload) => now.has(nameOf(upload)) && !books.isRecorded(upload.key, upload.uploadId));
  const temporaries = open.filter(({ key }) => key === "");
  const strays = ours(
    open.filter(({ key }) => key !== ""),
    deps,
  );
  if (!isRunning && temporaries.length > 0) findings.unfinished.push(counted(temporaries.length, "temporary file"));
  if (isRunning && !books.hasClaims()) strays.push(...temporaries);
  for (const stray of strays) findings.breach("no upload is left open", `${nameOf(stray)} is of no running task`);
  return strays;
}

/** All that is open in the buckets that can be read. */
export async function listUploads(
  buckets: ReadableBuckets,
  { store, signal }: Pick<UploadChecksDeps, "store" | "signal">,
): Promise<OpenUpload[]> {
  const uploads = new Map<string, OpenUpload>();
  await buckets.each(async (bucket) => {
    for await (const upload of store.openUploads(bucket, signal)) uploads.set(nameOf(upload), upload);
  });
  return [...uploads.values()];
}

/**
 * Those under keys of ours, whatever these are: that name a job which is known, that a ledger's result or a manifest
 * has, or that a task is to have which waits or failed. The last are looked through only where something is open.
 */
function ours(uploads: readonly OpenUpload[], { expected, books }: UploadChecksDeps): OpenUpload[] {
  const isKnown = (ref: ObjectRef) => {
    const jobId = jobIdIn(ref.key);
    return (jobId !== undefined && books.hasJob(jobId)) || expected.under(ref).length > 0;
  };
  const found = uploads.filter(isKnown);
  const left = uploads.filter((upload) => !isKnown(upload));
  const owned = left.length === 0 ? new Set<string>() : books.taskKeysAmong(left.map(placeOf));
  return [...found, ...left.filter((upload) => owned.has(placeOf(upload)))];
}

function placeOf({ bucket, key }: ObjectRef): string {
  return `${bucket}/${key}`;
}

function nameOf({ bucket, key, uploadId }: OpenUpload): string {
  return key === "" ? `temporary file ${uploadId}` : `upload ${uploadId} of ${bucket}/${key}`;
}
