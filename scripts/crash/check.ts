import type { DeadLetter, JobSnapshot, ResourceRow } from "../../test/support/answers.ts";
import { digest, pattern } from "../../test/support/pattern.ts";
import type { Service } from "../../test/support/service.ts";
import type { TestStorage } from "../../test/support/storage.ts";
import type { PlannedResource, Record, Submission } from "./record.ts";

export interface Checked {
  readonly jobs: number;
  readonly tasks: number;
  readonly objects: number;
  readonly breaches: string[];
}

/**
 * Compares what the service says, and what lies in the storage, with the record: from outside, by clients that share no
 * code with the service. Everything must have come to its end.
 */
export async function check(service: Service, storage: TestStorage, record: Record): Promise<Checked> {
  const breaches: string[] = [];
  const jobs = await service.pages<JobSnapshot>("/operators/jobs?limit=1000", "jobs");
  const letters = await service.pages<DeadLetter>("/operators/dlq?limit=1000", "entries");
  const bySubmission = new Map<number, JobSnapshot>();
  let tasks = 0;
  let objects = 0;
  for (const job of jobs) {
    const rows = await service.resources(job.job_id);
    tasks += rows.length;
    const number = Number(/^s(\d+)\//.exec(rows[0]?.resource_id ?? "")?.[1]);
    const submission = record.submissions[number];
    if (submission === undefined) {
      breaches.push(`job ${job.job_id} was never submitted`);
      continue;
    }
    const other = bySubmission.get(number);
    // Without a key, one that was not answered may have been sent again as another.
    if (other !== undefined) breaches.push(`submission ${number} is job ${other.job_id} and job ${job.job_id}`);
    bySubmission.set(number, job);
    const say = (what: string) => breaches.push(`job ${job.job_id}: ${what}`);
    checkCounters(job, rows, submission, say);
    checkLetters(job, rows, letters, record, say);
    objects += await checkObjects(service, storage, job, rows, submission, say);
    await checkLog(service, job, rows, say);
  }
  for (const { number, jobId } of record.acknowledged) {
    const job = bySubmission.get(number);
    if (job === undefined) breaches.push(`submission ${number}, acknowledged as job ${jobId}, is lost`);
    else if (job.job_id !== jobId) breaches.push(`submission ${number}, acknowledged as ${jobId}, is ${job.job_id}`);
  }
  for (const left of await storage.leftovers(
    service,
    jobs.map(({ job_id }) => job_id),
  )) {
    breaches.push(`half stored: ${left}`);
  }
  return { jobs: jobs.length, tasks, objects, breaches };
}

type Say = (what: string) => void;

function checkCounters(job: JobSnapshot, rows: readonly ResourceRow[], submission: Submission, say: Say): void {
  const count = (state: string) => rows.filter((row) => row.state === state).length;
  const said = [job.resource_total, job.resource_completed, job.resource_failed, job.resource_cancelled];
  const counted = [submission.resources.length, count("completed"), count("failed"), count("cancelled")];
  if (said.join() !== counted.join()) say(`counters ${said.join("/")}, recounted ${counted.join("/")}`);
  const ids = new Set(rows.map(({ resource_id }) => resource_id));
  if (ids.size !== rows.length) say("a resource is there twice");
  for (const { id } of submission.resources) if (!ids.has(id)) say(`resource ${id} is lost`);
  const bytes = rows.reduce((sum, row) => sum + (row.state === "completed" ? (row.bytes ?? 0) : 0), 0);
  if (bytes !== job.bytes_stored) say(`says ${job.bytes_stored} bytes, its resources ${bytes}`);
  if (submission.cancel === "no" && count("cancelled") > 0) say("nobody cancelled it");
  for (const row of rows) {
    const planned = submission.resources.find(({ id }) => id === row.resource_id);
    if (planned !== undefined && !isAsPlanned(row, planned))
      say(`${row.resource_id} is ${row.state}, planned: ${planned.fate}`);
  }
}

function isAsPlanned({ state, error }: ResourceRow, { fate }: PlannedResource): boolean {
  // What was at work in five kills is buried, whatever it would have become.
  if (state === "cancelled" || fate === "either" || error?.code === "TASK_INTERRUPTED") return true;
  return state === (fate === "stored" ? "completed" : "failed");
}

function checkLetters(
  job: JobSnapshot,
  rows: readonly ResourceRow[],
  letters: readonly DeadLetter[],
  record: Record,
  say: Say,
): void {
  const own = letters.filter(({ job_id }) => job_id === job.job_id).map(({ resource_id }) => resource_id);
  if (own.length !== new Set(own).size) say("a resource has two dead letters");
  for (const { resource_id: id, state } of rows) {
    const resource = `${job.job_id} ${id}`;
    const has = own.includes(id);
    if (state !== "failed" && has) say(`${id} has a dead letter and is ${state}`);
    if (state !== "failed") continue;
    if (has && record.givenUp.has(resource)) say(`the dead letter of ${id} was given up, and is there`);
    if (!has && !record.maybeGivenUp.has(resource)) say(`${id} failed for good and has no dead letter`);
  }
}

async function checkObjects(
  service: Service,
  storage: TestStorage,
  job: JobSnapshot,
  rows: readonly ResourceRow[],
  submission: Submission,
  say: Say,
): Promise<number> {
  const stored = rows.filter(({ state }) => state === "completed");
  const keys = [storage.keyOf(service, job.manifest_key)];
  for (const row of stored) {
    const url = row.storage_key ?? "";
    keys.push(storage.keyOf(service, url));
    const planned = submission.resources.find(({ id }) => id === row.resource_id);
    if (planned === undefined) continue;
    try {
      const found = digest(await storage.read(service, url));
      const right = digest(pattern(planned.size, planned.seed));
      if (found !== right || found !== `${row.bytes} ${row.sha256}`) say(`${row.resource_id}: the object is ${found}`);
    } catch (error) {
      say(`${row.resource_id}: the object cannot be read: ${String(error)}`);
    }
  }
  const prefixes = [`resources/${job.job_type}/${job.job_id}/`, `manifests/${job.job_type}/${job.job_id}/`];
  const found = await storage.keys(service, prefixes);
  for (const key of found) if (!keys.includes(key)) say(`an object too many: ${key}`);
  return stored.length;
}

async function checkLog(service: Service, job: JobSnapshot, rows: readonly ResourceRow[], say: Say): Promise<void> {
  const log = await service.logs(job.job_id);
  if (log.some(({ offset }, index) => offset !== index) || log.length !== job.log_count) say("its log has gaps");
  const told = log.flatMap(({ message, resource_id }) => (message === "resource stored" ? (resource_id ?? "") : []));
  const stored = rows.flatMap(({ state, resource_id }) => (state === "completed" ? resource_id : []));
  if (new Set(told).size !== told.length || told.length !== stored.length || stored.some((id) => !told.includes(id)))
    say("its log tells of other completions than there were");
}
