import type { ClaimedTask } from "../jobs/task.ts";
import type { BrokerDeps } from "./broker-ports.ts";

/** The delay after a claim or a release that failed, for example because the disk is full. */
export const RETRY_MS = 1000;

/** Claimed tasks on their way back to the queue. */
export class Releases {
  readonly #deps: Pick<BrokerDeps, "source" | "clock" | "onError">;
  readonly #onFailed: (task: ClaimedTask) => void;
  readonly #underWay = new Set<Promise<void>>();
  /** By the monotonic clock. */
  #from = 0;

  /** `onFailed` gets a task that could not be given back. */
  constructor(deps: Pick<BrokerDeps, "source" | "clock" | "onError">, onFailed: (task: ClaimedTask) => void) {
    this.#deps = deps;
    this.#onFailed = onFailed;
  }

  /** Whether no release has failed just now. */
  get arePossible(): boolean {
    return this.#deps.clock.monotonic() >= this.#from;
  }

  add(task: ClaimedTask): void {
    const released = this.#release(task).finally(() => this.#underWay.delete(released));
    this.#underWay.add(released);
  }

  /** Resolves once those under way have ended. */
  async ended(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  async #release(task: ClaimedTask): Promise<void> {
    const { clock, source, onError } = this.#deps;
    try {
      await source.release(task);
    } catch (error) {
      onError(error);
      this.#from = clock.monotonic() + RETRY_MS;
      this.#onFailed(task);
    }
  }
}
