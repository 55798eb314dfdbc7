import type { ObjectInfo, ObjectRef, ObjectStore } from "../jobs/object-store.ts";
import { DEFAULT_FOLDERS, hasDefaultFolder, ownerOf } from "../jobs/storage-keys.ts";
import { numbered } from "../std/counted.ts";
import { type ExpectedObject, type ExpectedObjects, writerText } from "./expected-objects.ts";
import type { Findings } from "./findings.ts";
import type { LiveStores } from "./live-stores.ts";
import type { ReadableBuckets } from "./readable-buckets.ts";

export type RunInManifest = (start: Uint8Array) => string | undefined;

interface ObjectChecksDeps {
  readonly store: ObjectStore;
  readonly expected: ExpectedObjects;
  readonly liveStores: LiveStores;
  readonly findings: Findings;
  /** Also reads every object and compares its SHA-256. */
  readonly deep: boolean;
  readonly runInManifest: RunInManifest | undefined;
  readonly signal: AbortSignal;
}

/** The same, with the jobs of `fetchbox run` that were found. */
interface Checking extends ObjectChecksDeps {
  readonly runs: Set<string>;
}

/** Compares the objects in the buckets with the expected ones. A listing returns a thousand objects at a time. */
export async function checkObjects(buckets: ReadableBuckets, deps: ObjectChecksDeps): Promise<void> {
  const checking = { ...deps, runs: new Set<string>() };
  for (const folder of DEFAULT_FOLDERS) {
    await buckets.each(async (bucket) => {
      for await (const { key, bytes, etag } of deps.store.list(bucket, folder, deps.signal)) {
        await checkListed({ bucket, key }, { bytes, etag }, checking);
      }
    });
  }
  for (const ref of deps.expected.unseen()) {
    await buckets.in(ref.bucket, async () => {
      // The listing would have shown it.
      const found = hasDefaultFolder(ref.key) ? undefined : await deps.store.head(ref, deps.signal);
      if (found === undefined) reportMissing(ref, deps);
      else await checkFound(ref, found, deps);
    });
  }
}

/** The facts about an object that the storage gives without its content. */
type Seen = Pick<ObjectInfo, "bytes" | "etag">;

async function checkListed(ref: ObjectRef, seen: Seen, deps: Checking): Promise<void> {
  if (deps.expected.under(ref).length === 0) {
    checkForeign(ref, deps);
    return lookForRun(ref, deps);
  }
  deps.expected.see(ref);
  await checkFound(ref, seen, deps);
}

async function checkFound(ref: ObjectRef, { bytes, etag }: Seen, deps: ObjectChecksDeps): Promise<void> {
  deps.findings.counts.objects++;
  const writers = deps.expected.under(ref);
  if (writers.some((writer) => writer.bytes === null)) return;
  const fitting = writers.filter((writer) => writer.bytes === bytes);
  const [first] = writers;
  if (first === undefined) return;
  if (fitting.length === 0) {
    reportUnlessReplayed(
      "an object has its size",
      first,
      `has ${numbered(bytes, "byte")}, not the ${first.bytes} that were stored`,
      deps,
    );
  } else if (deps.deep || fitting.every((writer) => isOther(writer.etag, etag))) {
    const sha256 = await digestOf(ref, deps);
    if (sha256 === undefined) reportMissing(ref, deps);
    else if (!fitting.some((writer) => writer.sha256 === sha256)) {
      reportUnlessReplayed(
        "an object has its contents",
        first,
        `has SHA-256 ${sha256}; ${first.sha256} was stored`,
        deps,
      );
    }
  }
}

/** Whether the ETag differs. A late upload may have replaced the object, or the bucket is a copy: it must be read. */
function isOther(stored: string | null, found: string): boolean {
  return stored !== null && stored !== "" && found !== "" && stored !== found;
}

async function digestOf(ref: ObjectRef, { store, findings, signal }: ObjectChecksDeps): Promise<string | undefined> {
  const stream = await store.read(ref, signal);
  if (stream === undefined) return undefined;
  const hasher = new Bun.CryptoHasher("sha256");
  for await (const chunk of stream) {
    hasher.update(chunk);
    findings.counts.bytesRead += chunk.byteLength;
  }
  return hasher.digest("hex");
}

function reportMissing(ref: ObjectRef, deps: ObjectChecksDeps): void {
  for (const writer of deps.expected.under(ref)) {
    if (writer.task === 0) {
      if (!deps.liveStores.hasJob(writer.jobId)) continue;
      deps.findings.report("a job has its manifest", `job ${writer.jobId}: ${nameOf(ref)} is missing`);
    } else {
      reportUnlessReplayed("a completed task has its object", writer, "is missing; submit the resource again", deps);
    }
  }
}

/** Reports an inconsistency, unless the task was replayed or pruned since the stores were read. */
function reportUnlessReplayed(
  rule: string,
  writer: ExpectedObject,
  what: string,
  { liveStores, findings }: ObjectChecksDeps,
): void {
  if (writer.task !== 0 && !liveStores.isCompleted(writer.task)) return;
  findings.report(rule, `${writerText(writer)}: ${nameOf(writer)} ${what}`);
}

/** Checks an object that no task is expected to have stored. */
function checkForeign(ref: ObjectRef, { liveStores, findings, runs }: Checking): void {
  const { jobId, resourceId } = ownerOf(ref.key) ?? {};
  if (jobId === undefined || resourceId === undefined) return;
  if (!liveStores.hasJob(jobId)) {
    // The job is of a `fetchbox run`, past its retention, or of another installation with the same bucket.
    if (runs.has(jobId)) findings.counts.ofRuns++;
    else findings.counts.unknown++;
    return;
  }
  // This is read before the ends of tasks: a task that ends in between is in the ledger then.
  if (liveStores.isAtWork(jobId)) return;
  const end = liveStores.endOf(jobId, resourceId);
  if (end?.state === "completed" && end.storageUrl?.endsWith(ref.key) === true) return; // since the stores were read
  if (liveStores.isLookedFor(ref)) {
    findings.counts.late++;
    return;
  }
  const whose =
    end === undefined
      ? `job ${jobId}, which has no such resource`
      : `task ${end.task} of job ${jobId}, which ${end.state === "cancelled" ? "was cancelled" : end.state}`;
  findings.report("a task that did not complete has no object", `${nameOf(ref)} belongs to ${whose}`);
}

/** Notes the job where the object is the manifest of a `fetchbox run`. */
async function lookForRun(ref: ObjectRef, { store, liveStores, runInManifest, runs, signal }: Checking): Promise<void> {
  const { jobId, resourceId } = ownerOf(ref.key) ?? {};
  if (runInManifest === undefined || jobId === undefined || resourceId !== undefined || liveStores.hasJob(jobId))
    return;
  const reader = (await store.read(ref, signal))?.getReader();
  const start = (await reader?.read())?.value;
  await reader?.cancel();
  if (start !== undefined && runInManifest(start) === jobId) runs.add(jobId);
}

function nameOf({ bucket, key }: ObjectRef): string {
  return `${bucket}/${key}`;
}
