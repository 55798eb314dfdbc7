import type { UploadTracking } from "../jobs/object-store.ts";
import type { ClaimedTask } from "../jobs/task.ts";
import type { UploadTraces } from "../jobs/verdict.ts";

/**
 * The steps of a download. `connecting`: it resolves a name or opens a connection; a redirect starts again here.
 * `headers`: the request is sent. `body`: the head of the answer has come. `storing`: the body is complete.
 */
export const DOWNLOAD_STAGES = ["connecting", "headers", "body", "storing"] as const;
type DownloadStage = (typeof DOWNLOAD_STAGES)[number];

/** Facts of an attempt that its record shows, whether it succeeds or fails. The download fills them in. */
export interface AttemptTrace {
  /** The address that was connected to; empty until one is known. */
  address: string;
  /** Without credentials; empty for a direct connection. */
  proxy: string;
  /** 0 until the head of an answer has come. */
  httpStatus: number;
  bytes: number;
  /** The record does not show it, because it changes while the attempt runs. */
  stage: DownloadStage;
}

/**
 * One attempt at a claimed task: its claim, the way to end it early, its trace, and its effects on the storage. Every
 * layer of the service gets the same one.
 */
export class Attempt {
  readonly claimed: ClaimedTask;
  readonly workerId: number;
  readonly trace: AttemptTrace = { address: "", proxy: "", httpStatus: 0, bytes: 0, stage: "connecting" };
  readonly #controller = new AbortController();
  readonly #closed = new Set<string>();
  #uploadBegan = false;
  #probeOpen = false;
  #token: string | undefined;

  /** `workerId` is the number of the worker that makes the attempt, counted from 1. */
  constructor(claimed: ClaimedTask, workerId: number) {
    this.claimed = claimed;
    this.workerId = workerId;
  }

  /** Aborts with the reason for an early end. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Ends the attempt with a reason. The worker calls it, and so does every limit that the attempt exceeds. */
  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  /** Whether a request that may make the object visible was sent, and the storage did not refuse it. */
  get uploadBegan(): boolean {
    return this.#uploadBegan;
  }

  /** The callbacks for this attempt's one upload. */
  track(token: string | undefined): UploadTracking & { onClosed: (uploadId: string) => void } {
    this.#token = token;
    return {
      token,
      onBegin: (mayStore) => {
        this.#uploadBegan = mayStore;
      },
      onProbe: (isOpen) => {
        this.#probeOpen = isOpen;
      },
      onClosed: (uploadId) => void this.#closed.add(uploadId),
    };
  }

  /** A snapshot for the settlement: an attempt that the worker has abandoned may still change these facts. */
  get upload(): UploadTraces {
    return {
      uploadBegan: this.uploadBegan,
      probeOpen: this.#probeOpen,
      token: this.#token,
      closed: this.#closed,
    };
  }
}
