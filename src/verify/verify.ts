import type { Database } from "bun:sqlite";
import { Failure } from "../jobs/failure.ts";
import type { ObjectStore, OpenUpload } from "../jobs/object-store.ts";
import { inspectStores, requireStores } from "../sqlite/file/inspect.ts";
import { MIGRATIONS } from "../sqlite/file/migrations.ts";
import type { StorePaths } from "../sqlite/file/store-paths.ts";
import type { Clock } from "../std/clock.ts";
import { counted } from "../std/counted.ts";
import { type ExpectedObject, ExpectedObjects, writerText } from "./expected-objects.ts";
import { Findings } from "./findings.ts";
import { hasOrphans, LiveStores } from "./live-stores.ts";
import { checkObjects, type RunInManifest } from "./object-checks.ts";
import { PROJECTION_CHECKS } from "./projection-checks.ts";
import { QUEUE_CHECKS } from "./queue-checks.ts";
import { ReadableBuckets } from "./readable-buckets.ts";
import { openSnapshot, type Snapshot } from "./snapshot.ts";
import { runSqlChecks } from "./sql-check.ts";
import { checkUploads, listUploads } from "./upload-checks.ts";

interface VerifyOptions {
  readonly paths: StorePaths;
  readonly connect: (installation: string) => ObjectStore;
  /** The buckets of the configuration. */
  readonly buckets: readonly string[];
  /**
   * The job of a `fetchbox run`, by the start of its manifest object. If it is given, manifests of unknown jobs are
   * read, to distinguish such runs from other installations.
   */
  readonly runInManifest?: RunInManifest;
  /** The highest possible age of a claim, in milliseconds. */
  readonly claimMsMax: number;
  readonly deep: boolean;
  /** Whether a service uses the stores. */
  readonly isRunning: () => boolean;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export interface Verified {
  readonly findings: Findings;
  /** Open uploads without a record, which can be aborted. */
  readonly orphanUploads: readonly OpenUpload[];
}

/**
 * Checks the three stores against each other and against the storage. It only reads and does not disturb a running
 * service. A storage that cannot be read is an inconsistency, too.
 * @throws StoreError if a start would refuse the stores, or a store cannot be read
 */
export async function verify(options: VerifyOptions): Promise<Verified> {
  inspectStores(options.paths);
  requireStores(options.paths);
  const { store, findings, expected: gathered } = await readStores(options);
  using expected = gathered;
  try {
    const orphanUploads = await checkStorage(options, store, expected, findings);
    return { findings, orphanUploads };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    findings.report("the storage can be read", `${error.message} (${error.code})`);
    return { findings, orphanUploads: [] };
  }
}

/** The findings in the stores and their expected objects; it reads again if a service started to write meanwhile. */
async function readStores(
  options: VerifyOptions,
): Promise<{ store: ObjectStore; findings: Findings; expected: ExpectedObjects }> {
  for (;;) {
    using snapshot = await openSnapshot(options.paths, options.clock);
    const store = options.connect(snapshot.installation);
    const findings = new Findings();
    using unread = new DisposableStack();
    const expected = unread.use(new ExpectedObjects());
    try {
      checkStores(snapshot, options, findings);
      gatherExpected(snapshot, store, expected, findings);
    } catch (error) {
      if (!snapshot.isStale()) throw error;
    }
    if (snapshot.isStale()) continue;
    unread.move();
    return { store, findings, expected };
  }
}

/** @throws Failure */
async function checkStorage(
  { paths, deep, signal, isRunning, runInManifest, ...options }: VerifyOptions,
  store: ObjectStore,
  expected: ExpectedObjects,
  findings: Findings,
): Promise<OpenUpload[]> {
  using liveStores = new LiveStores(paths);
  const buckets = new ReadableBuckets([...options.buckets, ...expected.buckets()], findings);
  const before = await listUploads(buckets, { store, findings, signal });
  await checkObjects(buckets, { store, expected, liveStores, findings, deep, runInManifest, signal });
  noteForeignObjects(findings);
  noteLateObjects(isRunning(), findings);
  // The stores stay open until the check is done.
  return await checkUploads(buckets, before, { store, expected, liveStores, findings, isRunning: isRunning(), signal });
}

function noteForeignObjects({ counts: { ofRuns, unknown }, notes }: Findings): void {
  if (ofRuns > 0)
    notes.push(
      `${counted(ofRuns, "object")} ${ofRuns === 1 ? "is" : "are"} of fetchbox run, which keeps no records of its jobs`,
    );
  if (unknown === 0) return;
  const owners = "they may be pruned, of a fetchbox run, or of another installation";
  notes.push(
    `${counted(unknown, "object")} ${unknown === 1 ? "is" : "are"} of jobs that are not known here: ${owners}`,
  );
}

/** Notes objects under keys at which the service looks for late ones. A late one is no inconsistency: it is removed. */
function noteLateObjects(isRunning: boolean, { counts: { late }, notes, unfinished }: Findings): void {
  if (late === 0) return;
  const text = `${counted(late, "object")} that S3 may have stored after the end of ${late === 1 ? "its task" : "their tasks"}`;
  if (isRunning) notes.push(`${text}; the service looks for ${late === 1 ? "it" : "them"}`);
  else unfinished.push(text);
}

function checkStores(snapshot: Snapshot, options: VerifyOptions, findings: Findings): void {
  const { db, behind } = snapshot;
  checkFiles(snapshot, options.paths, findings);
  noteOldSchemas(snapshot, options.paths, findings);
  countAll(snapshot, findings);
  runSqlChecks(db, QUEUE_CHECKS, findings);
  if (behind === 0) runSqlChecks(db, PROJECTION_CHECKS, findings);
  else if (options.isRunning()) findings.notes.push("ledger.db and dlq.db lag behind; they were not compared");
  else findings.unfinished.push(`batches that are not in ledger.db or dlq.db yet: ${behind}; they were not compared`);
  checkClaims(snapshot, options, findings);
}

/** @see https://sqlite.org/pragma.html#pragma_integrity_check */
function checkFiles({ db }: Snapshot, paths: StorePaths, findings: Findings): void {
  for (const [schema, path] of [
    ["main", paths.queue],
    ["ledger", paths.ledger],
    ["dlq", paths.dlq],
  ] as const) {
    const rows = db.query<{ integrity_check: string }, []>(`PRAGMA ${schema}.integrity_check(20)`).all();
    for (const { integrity_check: found } of rows) {
      if (found !== "ok") findings.report("the files are sound", `${path}: ${found}`, true);
    }
  }
}

/** Notes an older schema. It is no inconsistency: it has all that is checked. */
function noteOldSchemas({ db }: Snapshot, paths: StorePaths, findings: Findings): void {
  for (const [schema, store] of [
    ["main", "queue"],
    ["ledger", "ledger"],
    ["dlq", "dlq"],
  ] as const) {
    const version = db.query<{ user_version: number }, []>(`PRAGMA ${schema}.user_version`).get()?.user_version ?? 0;
    const newest = MIGRATIONS[store].length;
    if (version >= newest) continue;
    findings.notes.push(
      `${paths[store]} has schema ${version}; the next start of this version upgrades it to ${newest}`,
    );
  }
}

/**
 * Checks claims: without a service they wait for the next start, and under a running one each has a limited age. The
 * age goes by the service's steady clock, which the service records at least every ten minutes.
 */
function checkClaims({ db }: Snapshot, { isRunning, claimMsMax }: VerifyOptions, findings: Findings): void {
  const running = isRunning();
  const claims = db
    .query<{ id: number; ageMs: number }, []>(
      `SELECT id, (SELECT CAST(value AS INTEGER) FROM main.meta WHERE name = 'last_seen') - claimed_at AS ageMs
       FROM main.tasks WHERE claim_id IS NOT NULL`,
    )
    .all();
  if (!running && claims.length > 0)
    findings.unfinished.push(`${counted(claims.length, "task")} that ${claims.length === 1 ? "was" : "were"} claimed`);
  for (const { id, ageMs } of running ? claims : []) {
    if (ageMs > claimMsMax) {
      findings.report("no claim is older than its limit", `task ${id} was claimed ${Math.round(ageMs / 1000)} s ago`);
    }
  }
  for (const [what, sql] of [
    ["jobs whose acceptance did not end", "SELECT count(*) AS n FROM main.jobs WHERE status = 'staged'"],
    ["uploads with a record", "SELECT count(*) AS n FROM main.uploads"],
  ] as const) {
    const { n } = db.query<{ n: number }, []>(sql).get() ?? { n: 0 };
    if (!running && n > 0) findings.unfinished.push(`${n} ${what}`);
  }
  noteOrphans(db, running, findings);
}

/** Notes uploads whose abort failed. They are no inconsistency: the service tries again. */
function noteOrphans(db: Database, isRunning: boolean, findings: Findings): void {
  if (!hasOrphans(db)) return;
  const sql = "SELECT count(*) AS n FROM main.orphans WHERE kind = 'upload' AND name <> ''";
  const { n } = db.query<{ n: number }, []>(sql).get() ?? { n: 0 };
  if (n === 0) return;
  const text = `${n} open uploads that are not aborted yet`;
  if (isRunning) findings.notes.push(`${text}; the service keeps trying`);
  else findings.unfinished.push(text);
}

function countAll({ db }: Snapshot, { counts }: Findings): void {
  const count = (sql: string) => db.query<{ n: number }, []>(`SELECT count(*) AS n FROM ${sql}`).get()?.n ?? 0;
  counts.jobs = count("ledger.jobs");
  counts.tasks = count("main.tasks");
  counts.deadLetters = count("dlq.dead_letters");
}

function gatherExpected(
  { db }: Snapshot,
  store: Pick<ObjectStore, "refOf">,
  expected: ExpectedObjects,
  findings: Findings,
): void {
  const rows = db.query<Omit<ExpectedObject, "bucket" | "key"> & { readonly url: string }, []>(
    `SELECT r.task, j.job_id AS jobId, r.storage_url AS url, r.bytes, lower(hex(r.sha256)) AS sha256, r.etag
       FROM ledger.results r JOIN ledger.jobs j ON j.seq = r.job WHERE r.state = 'completed'
     UNION ALL SELECT 0, job_id, manifest_url, NULL, NULL, NULL FROM ledger.jobs`,
  );
  const objects = function* () {
    for (const { url, ...object } of rows.iterate()) {
      const ref = store.refOf(url);
      if (ref !== undefined) yield { ...ref, ...object };
      else findings.report("an object is in this storage", `${writerText(object)}: ${url} belongs to another storage`);
    }
  };
  expected.addAll(objects());
}
