import type { TraceContext } from "../net/trace-context.ts";

/** One `POST /jobs` with checked headers, and a body that is decompressed but not parsed. */
export interface Submission {
  readonly jobType: string;
  readonly tenant: string;
  readonly idempotencyKey?: string;
  /** The span of the submission. */
  readonly trace: TraceContext;
  readonly body: Uint8Array;
}

export interface SubmissionAnswer {
  readonly body: {
    readonly job_id: string;
    readonly status: "queued";
    /** URL of the stored manifest. */
    readonly manifest_key: string;
    /** Tasks after the handler's expansion. */
    readonly resource_count: number;
  };
  /** True for the answer to an earlier submission with the same idempotency key. */
  readonly replayed: boolean;
}

/** Accepts a submission as a durable job. @throws IntakeError; then no part of the job remains */
export type Submit = (submission: Submission) => Promise<SubmissionAnswer>;
