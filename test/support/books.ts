import { Database } from "bun:sqlite";
import { expect } from "bun:test";
import type { DeadLetter, JobSnapshot } from "./answers.ts";
import { digest } from "./pattern.ts";
import type { Service } from "./service.ts";
import type { TestStorage } from "./storage.ts";

const STORES = ["queue/queue.db", "ledger/ledger.db", "dlq/dlq.db"];

/**
 * Checks all that the service says of a job that is terminal against a recount, and against what lies in the storage.
 * `bodies` has every resource by its id, with the bytes to be stored or nothing where it is to fail.
 */
export async function expectTrueBooks(
  service: Service,
  storage: TestStorage,
  jobId: string,
  bodies: ReadonlyMap<string, Uint8Array | undefined>,
): Promise<JobSnapshot> {
  const job = await service.job(jobId);
  const rows = await service.resources(jobId);
  const stored = rows.filter(({ state }) => state === "completed");
  const failed = rows.filter(({ state }) => state === "failed");

  expect(rows.map(({ resource_id }) => resource_id).sort()).toEqual([...bodies.keys()].sort());
  expect(job).toMatchObject({
    resource_total: bodies.size,
    resource_completed: [...bodies.values()].filter((body) => body !== undefined).length,
    resource_failed: failed.length,
    resource_cancelled: 0,
    bytes_stored: stored.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0),
  });
  expect(stored.length + failed.length).toBe(bodies.size);
  expect(failed.every(({ error }) => error !== null)).toBe(true);

  const keys = [storage.keyOf(service, job.manifest_key)];
  for (let from = 0; from < stored.length; from += 16) {
    await Promise.all(
      stored.slice(from, from + 16).map(async (row) => {
        const url = row.storage_key ?? "";
        keys.push(storage.keyOf(service, url));
        const bytes = await storage.read(service, url);
        expect([row.resource_id, digest(bytes)]).toEqual([row.resource_id, digest(bodies.get(row.resource_id))]);
        expect(digest(bytes)).toBe(`${row.bytes} ${row.sha256}`);
      }),
    );
  }
  const prefixes = [`resources/${job.job_type}/${jobId}/`, `manifests/${job.job_type}/${jobId}/`];
  expect(await storage.keys(service, prefixes)).toEqual(keys.sort());
  expect(await storage.leftovers(service, [jobId])).toEqual([]);

  const letters = await service.pages<DeadLetter>(`/operators/dlq?job_id=${jobId}&limit=1000`, "entries");
  expect(letters.map(({ resource_id }) => resource_id).sort()).toEqual(
    failed.map(({ resource_id }) => resource_id).sort(),
  );
  await expectTrueLog(
    service,
    job,
    stored.map(({ resource_id }) => resource_id),
  );
  return job;
}

/** One row for each completion and no gap between the rows. */
async function expectTrueLog(service: Service, job: JobSnapshot, storedIds: readonly string[]): Promise<void> {
  const rows = await service.logs(job.job_id);
  expect(rows.map(({ offset }) => offset)).toEqual(rows.map((_, index) => index));
  expect(job.log_count).toBe(rows.length);
  const told = rows.flatMap(({ level, resource_id }) =>
    level === "info" && resource_id !== null ? [resource_id] : [],
  );
  expect(told.toSorted()).toEqual(storedIds.toSorted());
}

/** Checks what is left once nothing is under way: no task in the queue, no worker busy. */
export async function expectIdle(service: Service): Promise<void> {
  const metrics = await (await service.fetch("/metrics")).text();
  for (const state of ["pending", "running", "retrying"]) {
    expect(metrics).toContain(`fetchbox_queue_depth{state="${state}"} 0\n`);
  }
  expect(metrics).toContain("fetchbox_worker_busy_count 0\n");
}

/** Checks the files of a service that has ended. */
export function expectSoundStores(service: Service): void {
  for (const store of STORES) {
    const db = new Database(`${service.folder}/data/${store}`, { readonly: true });
    try {
      expect(db.query("PRAGMA integrity_check").values()).toEqual([["ok"]]);
    } finally {
      db.close();
    }
  }
}
