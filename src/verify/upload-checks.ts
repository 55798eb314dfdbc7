import { Failure } from "../jobs/failure.ts";
import type { ObjectRef, ObjectStore, OpenUpload } from "../jobs/object-store.ts";
import { jobIdIn } from "../jobs/storage-keys.ts";
import { counted } from "../std/counted.ts";
import type { ExpectedObjects } from "./expected-objects.ts";
import type { Findings } from "./findings.ts";
import type { LiveStores } from "./live-stores.ts";
import type { ReadableBuckets } from "./readable-buckets.ts";

/** The statuses of a service that cannot list open uploads: method not allowed, not implemented. */
const WITHOUT_LIST: readonly number[] = [405, 501];

interface UploadChecksDeps {
  readonly store: Pick<ObjectStore, "openUploads">;
  readonly expected: Pick<ExpectedObjects, "under">;
  readonly liveStores: LiveStores;
  readonly findings: Findings;
  /** A service uses the stores: its open uploads may be recorded or closed a moment later. */
  readonly isRunning: boolean;
  readonly signal: AbortSignal;
}

/**
 * Open uploads of this installation that no store has a record of. The next start removes temporary files of a crash,
 * and the service aborts recorded uploads. `before` holds the uploads that were open at the start of the check.
 */
export async function checkUploads(
  buckets: ReadableBuckets,
  before: readonly OpenUpload[],
  deps: UploadChecksDeps,
): Promise<OpenUpload[]> {
  const { liveStores, findings, isRunning } = deps;
  const now = new Set((await listUploads(buckets, deps)).map(nameOf));
  const unrecorded = before.filter(
    (upload) => now.has(nameOf(upload)) && !liveStores.isRecorded(upload.key, upload.uploadId),
  );
  // A claimed task may have one without a record. The next start aborts it, if the process has crashed.
  const claimed = unrecorded.length === 0 ? new Set<string>() : liveStores.claimedKeysAmong(unrecorded.map(placeOf));
  const open = unrecorded.filter((upload) => !claimed.has(placeOf(upload)));
  const temporaries = open.filter(({ key }) => key === "");
  const orphans = ownUploads(
    open.filter(({ key }) => key !== ""),
    deps,
  );
  if (!isRunning && temporaries.length > 0) findings.unfinished.push(counted(temporaries.length, "temporary file"));
  if (isRunning && !liveStores.hasClaims()) orphans.push(...temporaries);
  for (const upload of orphans)
    findings.report("no upload is left open", `${nameOf(upload)} belongs to no running task`);
  return orphans;
}

/**
 * All open uploads in the readable buckets. A refused list is an inconsistency, and a note if the service has no such
 * list. The objects may be readable all the same.
 */
export async function listUploads(
  buckets: ReadableBuckets,
  { store, findings, signal }: Pick<UploadChecksDeps, "store" | "findings" | "signal">,
): Promise<OpenUpload[]> {
  const uploads = new Map<string, OpenUpload>();
  await buckets.each(async (bucket) => {
    try {
      for await (const upload of store.openUploads(bucket, signal)) uploads.set(nameOf(upload), upload);
    } catch (error) {
      if (!(error instanceof Failure) || error.httpStatus === undefined) throw error;
      if (!WITHOUT_LIST.includes(error.httpStatus)) return buckets.report(bucket, error);
      const what = `the open uploads of bucket ${bucket} cannot be listed, and were not checked`;
      const note = `${what}: ${error.message} (${error.code})`;
      if (!findings.notes.includes(note)) findings.notes.push(note);
    }
  });
  return [...uploads.values()];
}

/**
 * Uploads under keys of this installation: the key names a known job, or it is the key of a result, a manifest or an
 * unfinished or failed task. Tasks are read only for uploads that neither explains.
 */
function ownUploads(uploads: readonly OpenUpload[], { expected, liveStores }: UploadChecksDeps): OpenUpload[] {
  const isKnown = (ref: ObjectRef) => {
    const jobId = jobIdIn(ref.key);
    return (jobId !== undefined && liveStores.hasJob(jobId)) || expected.under(ref).length > 0;
  };
  const found = uploads.filter(isKnown);
  const left = uploads.filter((upload) => !isKnown(upload));
  const owned = left.length === 0 ? new Set<string>() : liveStores.taskKeysAmong(left.map(placeOf));
  return [...found, ...left.filter((upload) => owned.has(placeOf(upload)))];
}

function placeOf({ bucket, key }: ObjectRef): string {
  return `${bucket}/${key}`;
}

function nameOf({ bucket, key, uploadId }: OpenUpload): string {
  return key === "" ? `temporary file ${uploadId}` : `upload ${uploadId} of ${bucket}/${key}`;
}
