import { newJobId } from "../../src/jobs/job.ts";
import type { Acceptance, NewJob } from "../../src/jobs/stores/acceptor.ts";
import type { QueueParts } from "../../src/jobs/stores/queue-parts.ts";
import type { AttemptRecord, ClaimedTask, Task, TaskResult } from "../../src/jobs/task.ts";
import type { Verdict } from "../../src/jobs/verdict.ts";
import type { FakeClock } from "./clock.ts";

/** The stores of a test, as far as these helpers need them. */
interface SampleStores {
  readonly clock: FakeClock;
  readonly queue: Pick<QueueParts, "acceptor" | "source" | "settlements">;
  /** Commits at once, so that no test waits for other changes to gather. */
  now<T>(work: Promise<T>): Promise<T>;
}

export function newJob(more: Partial<NewJob> = {}): NewJob {
  const jobId = newJobId(0);
  return {
    jobId,
    jobType: "default",
    tenant: "default",
    priority: "normal",
    traceId: "0af7651916cd43dd8448eb211c80319c",
    spanId: "b7ad6b7169203331",
    sampled: false,
    manifestUrl: `s3://artifacts/manifests/default/${jobId}/metadata.json`,
    createdAt: Date.UTC(2026, 10, 23, 12),
    ...more,
  };
}

/** `count` tasks, spread over the hosts in turn. */
export function newTasks(count: number, hosts: readonly string[] = ["origin.test"]): Task[] {
  return Array.from({ length: count }, (_, i) => ({
    resourceId: `r${i}`,
    url: `http://${hosts[i % hosts.length]}/file/${i}`,
    bucket: "artifacts",
    key: `resources/r${i}`,
  }));
}

export function acceptance(tasks: number | readonly Task[] = 1, more: Partial<Acceptance> = {}): Acceptance {
  const list = typeof tasks === "number" ? newTasks(tasks) : tasks;
  return { job: newJob(), tasks: list, pendingMax: 1_000_000, ...more };
}

/** Claims at most `limit` tasks of every lane that waits. */
export async function claimAll(stores: SampleStores, limit = 1000): Promise<ClaimedTask[]> {
  const requests = (await stores.queue.source.lanes(10_000)).map(({ id }) => ({ lane: id, limit }));
  return stores.now(stores.queue.source.claim(requests));
}

export function settle(stores: SampleStores, claimed: ClaimedTask, verdict: Verdict): Promise<boolean> {
  return stores.now(stores.queue.settlements.settle({ claimed, verdict }));
}

/** A job of `count` tasks that are all in a worker's hands. */
export async function claimedJob(stores: SampleStores, count = 1, more: Partial<NewJob> = {}): Promise<ClaimedTask[]> {
  const job = newJob({ createdAt: stores.clock.now(), ...more });
  await stores.now(stores.queue.acceptor.accept(acceptance(count, { job })));
  return claimAll(stores);
}

export const result: TaskResult = {
  finalUrl: "http://cdn.test/final",
  httpStatus: 200,
  bytes: 12_345,
  integrity: "verified",
  sha256: "ab".repeat(32),
  etag: "e1",
  contentType: "image/png",
  contentEncoding: undefined,
  storageUrl: "s3://artifacts/resources/r0",
  startedAt: 1000,
};

export const attempt: AttemptRecord = {
  startedAt: 1000,
  durationMs: 17.25,
  code: "DOWNLOAD_HTTP_502",
  message: "the origin answered 502",
  httpStatus: 502,
  bytes: 0,
};

export const complete: Verdict = { kind: "complete", result };
export const release: Verdict = { kind: "release" };
export const discard: Verdict = {
  kind: "discard",
  code: "DOWNLOAD_HTTP_404",
  message: "the origin answered 404",
  attempt: { ...attempt, code: "DOWNLOAD_HTTP_404", httpStatus: 404 },
  attempts: 1,
};

export function retryAt(availableAt: number): Verdict {
  return { kind: "retry", attempt, availableAt };
}

export function snoozeUntil(availableAt: number, since: number): Verdict {
  return { kind: "snooze", attempt, availableAt, waitingSince: { class: "throttled", at: since } };
}

/** The first of a list that must not be empty. */
export function firstOf<T>(list: readonly T[]): T {
  const [first] = list;
  if (first === undefined) throw new Error("the list is empty");
  return first;
}

/** A value that must be there. */
export function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("a value is missing");
  return value;
}
