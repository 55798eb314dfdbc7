import type { UploadTracking } from "../jobs/object-store.ts";
import type { UploadTraces } from "../jobs/verdict.ts";

/** An attempt under way: how it is ended early, and what it may leave in the storage, wherever it has come to. */
export class RunningAttempt {
  readonly #controller = new AbortController();
  readonly #closed = new Set<string>();
  #uploadBegan = false;
  #probeOpen = false;
  #token: string | undefined;

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Ends the attempt with a reason: by the worker, or by whoever in the attempt watches over a limit. */
  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  /** What this attempt's one upload is to be given. */
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

  /** As it is now: an attempt that nobody waits for any more may still change it. */
  get upload(): UploadTraces {
    return {
      uploadBegan: this.#uploadBegan,
      probeOpen: this.#probeOpen,
      token: this.#token,
      closed: this.#closed,
    };
  }
}
