import type { TraceContext } from "../net/trace-context.ts";

/** One `POST /jobs` as the API hands it on: headers checked, body decompressed and not yet parsed. */
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
  /** It is the answer to an earlier submission under the same idempotency key. */
  readonly replayed: boolean;
}

/** Turns a submission into a durable job. @throws IntakeError with the contract's codes; nothing of the job remains. */
export type Submit = (submission: Submission) => Promise<SubmissionAnswer>;
