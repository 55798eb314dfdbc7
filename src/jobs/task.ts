import type { JobHeader } from "./job.ts";
import type { ObjectAttributes } from "./object-attributes.ts";

/**
 * A task: one resource of a job.
 *
 *     pending ──claim──▶ running ──settle──▶ completed │ failed
 *        ▲                  │
 *        │ release          ├──retry, snooze──▶ retrying ──claim──▶ running
 *        └──────────────────┘
 *     pending │ retrying │ running ──cancel──▶ cancelled
 *     failed ──replay──▶ retrying
 *
 * `settle` and `recover` alone move a task out of `running`. queue.db repeats the states as a CHECK.
 */
export const TASK_STATES = ["pending", "running", "retrying", "completed", "failed", "cancelled"] as const;
export type TaskState = (typeof TASK_STATES)[number];

/** The data that a handler yields for one resource; the queue stores them as a `Task` message. */
export interface TaskSpec {
  readonly resourceId: string;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly tags?: Readonly<Record<string, string>>;
  /** `sha256:`, `sha1:` or `md5:` and hex. */
  readonly checksum?: string;
  /** Expected size in bytes. */
  readonly size?: number;
  /** A media type; `*` is allowed in either half. */
  readonly contentType?: string;
  readonly rejectHtml?: boolean;
  readonly proxyPool?: string;
  /** The place of the object; an absent field follows the manifest's and the handler's storage. */
  readonly bucket?: string;
  readonly key?: string;
}

/** A task as it lies in the queue: every field is resolved. */
export interface Task extends TaskSpec {
  readonly bucket: string;
  readonly key: string;
  /** The attributes of the object by the job's manifest. */
  readonly attributes?: ObjectAttributes;
}

/** One try, as it is kept with the task and shown to operators. */
export interface AttemptRecord {
  readonly startedAt: number;
  readonly durationMs: number;
  readonly code: string;
  readonly message: string;
  readonly httpStatus?: number;
  /** The address that was connected to. */
  readonly address?: string;
  readonly proxy?: string;
  readonly bytes: number;
  /** The first bytes of an unwanted body: at most 512 bytes, hex. */
  readonly bodyStart?: string;
}

/** Attempts that are kept with a task: the first one and the latest. */
export const ATTEMPTS_KEPT_MAX = 20;

/** A task in a worker's hands. `claimId` fences it: settling with a stale one changes nothing. */
export interface ClaimedTask {
  readonly id: number;
  readonly claimId: number;
  readonly lane: number;
  readonly job: JobHeader;
  readonly task: Task;
  /** The URL's host and port: limits and breakers count by it. */
  readonly host: string;
  /** Attempts spent so far. */
  readonly attempts: number;
  /** Crashes of the process while a claim of this task was out. */
  readonly crashes: number;
  /** An earlier attempt began to store its object, or the process ended while a claim of it was out. */
  readonly mayHaveStored: boolean;
  readonly history: readonly AttemptRecord[];
  /** Since when it has been waiting for a throttling host or an unavailable storage, without a break. */
  readonly waitingSince: { readonly class: "throttled" | "unavailable"; readonly at: number } | undefined;
}

export const INTEGRITIES = ["verified", "size", "unverified"] as const;
export type Integrity = (typeof INTEGRITIES)[number];

/** The result of a completed task. */
export interface TaskResult {
  readonly finalUrl: string;
  readonly httpStatus: number;
  readonly bytes: number;
  /**
   * `unverified`: only the end of the connection said that the body was complete, neither the answer nor the manifest.
   * `size`: the body was complete, but the storage proved no more of its copy than its size.
   */
  readonly integrity: Integrity;
  readonly sha256: string;
  readonly etag: string;
  readonly contentType: string;
  /** By `contentCodings`: the codings of the body, which the origin applied without a request for them. */
  readonly contentEncoding: string | undefined;
  readonly storageUrl: string;
  readonly startedAt: number;
}

/** Host and port of a URL, lower case, the scheme's port left out: the unit of limits, lanes and filters. */
export function hostOf(url: string): string {
  return new URL(url).host;
}

/** Keeps the first attempt and the latest, so that a long history stays bounded and still shows its start. */
export function withAttempt(history: readonly AttemptRecord[], attempt: AttemptRecord): readonly AttemptRecord[] {
  const all = [...history, attempt];
  return all.length <= ATTEMPTS_KEPT_MAX
    ? all
    : [all[0] as AttemptRecord, ...all.slice(all.length - ATTEMPTS_KEPT_MAX + 1)];
}
