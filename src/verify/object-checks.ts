import type { ObjectInfo, ObjectRef, ObjectStore } from "../jobs/object-store.ts";
import { DEFAULT_FOLDERS, hasDefaultFolder, ownerOf } from "../jobs/storage-keys.ts";
import type { ExpectedObject, ExpectedObjects } from "./expected-objects.ts";
import type { Findings } from "./findings.ts";
import type { LiveStores } from "./live-stores.ts";
import type { ReadableBuckets } from "./readable-buckets.ts";

export type RunInManifest = (start: Uint8Array) => string | undefined;

export interface ObjectChecksDeps {
  readonly store: ObjectStore;
  readonly expected: ExpectedObjects;
  readonly books: LiveStores;
  readonly findings: Findings;
  /** Also reads every object and compares its SHA-256. */
  readonly deep: boolean;
  readonly runInManifest: RunInManifest | undefined;
  readonly signal: AbortSignal;
}

/** The same, and the jobs of `fetchbox run` that were found. */
interface Checking extends ObjectChecksDeps {
  readonly runs: Set<string>;
}

/** Compares what lies in the buckets with what must. A listing tells of a thousand objects at a time. */
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
      if (found === undefined) tellMissing(ref, deps);
      else await checkFound(ref, found, deps);
    });
  }
}

/** What the storage says of an object without giving it. */
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
    tell("an object has its size", first, `has ${bytes} bytes, ${first.bytes} were stored`, deps);
  } else if (deps.deep || fitting.every((writer) => isOther(writer.etag, etag))) {
    const sha256 = await digestOf(ref, deps);
    if (sha256 === undefined) tellMissing(ref, deps);
    else if (!fitting.some((writer) => writer.sha256 === sha256)) {
      tell("an object has its contents", first, `has SHA-256 ${sha256}, stored was ${first.sha256}`, deps);
    }
  }
}

/** An upload that came late may have replaced the object; but a copy of a bucket has other ETags, too: it is read. */
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

function tellMissing(ref: ObjectRef, deps: ObjectChecksDeps): void {
  for (const writer of deps.expected.under(ref)) {
    if (writer.task === 0) {
      if (!deps.books.hasJob(writer.jobId)) continue;
      deps.findings.breach("a job has its manifest", `job ${writer.jobId}: ${nameOf(ref)} is not there`);
    } else {
      tell("a completed task has its object", writer, "is not there; submit it again", deps);
    }
  }
}

/** Unless the task was replayed or pruned since the stores were read. */
function tell(rule: string, writer: ExpectedObject, what: string, { books, findings }: ObjectChecksDeps): void {
  if (writer.task !== 0 && !books.isCompleted(writer.task)) return;
  findings.breach(rule, `task ${writer.task} of job ${writer.jobId}: ${nameOf(writer)} ${what}`);
}

/** An object where none is expected: of a task of ours that did not complete, of nobody, or of somebody else's. */
function checkForeign(ref: ObjectRef, { books, findings, runs }: Checking): void {
  const { jobId, resourceId } = ownerOf(ref.key) ?? {};
  if (jobId === undefined || resourceId === undefined) return;
  if (!books.hasJob(jobId)) {
    // Of a `fetchbox run`; or past its retention, or of another installation that writes to the same bucket.
    if (runs.has(jobId)) findings.counts.ofRuns++;
    else findings.counts.unknown++;
    return;
  }
  // Asked before its ends are: what ends in between is in the ledger then.
  if (books.isAtWork(jobId)) return;
  const end = books.endOf(jobId, resourceId);
  if (end?.state === "completed" && end.storageUrl?.endsWith(ref.key) === true) return; // since the stores were read
  const whose =
    end === undefined
      ? `job ${jobId}, which has no such resource`
      : `task ${end.task} of job ${jobId}, which ${end.state}`;
  findings.breach("a task that did not complete has no object", `${nameOf(ref)} belongs to ${whose}`);
}

/** Notes the job where the object is the manifest of a `fetchbox run`. */
async function lookForRun(ref: ObjectRef, { store, books, runInManifest, runs, signal }: Checking): Promise<void> {
  const { jobId, resourceId } = ownerOf(ref.key) ?? {};
  if (runInManifest === undefined || jobId === undefined || resourceId !== undefined || books.hasJob(jobId)) return;
  const reader = (await store.read(ref, signal))?.getReader();
  const start = (await reader?.read())?.value;
  await reader?.cancel();
  if (start !== undefined && runInManifest(start) === jobId) runs.add(jobId);
}

function nameOf({ bucket, key }: ObjectRef): string {
  return `${bucket}/${key}`;
}
