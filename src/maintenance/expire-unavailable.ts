import { setImmediate } from "node:timers/promises";
import type { Lane } from "../jobs/lane.ts";
import type { QueueParts } from "../jobs/stores/queue-parts.ts";
import type { ClaimedTask } from "../jobs/task.ts";
import type { Settlement } from "../jobs/verdict.ts";
import type { Clock } from "../std/clock.ts";

interface ExpireUnavailableDeps {
  readonly queue: Pick<QueueParts, "source" | "control">;
  /** Hosts that have not answered for at least `ms`, each with its number of milliseconds. */
  readonly unavailable: (ms: number) => ReadonlyMap<string, number>;
  readonly settle: (settlement: Settlement) => Promise<void>;
  /** The longest time that a task may wait for such a host, in milliseconds. */
  readonly maxThrottleMs: number;
  readonly clock: Pick<Clock, "now">;
}

const LANES = 1000;
/** Tasks of one commit. */
const TASKS = 100;

/**
 * Discards tasks that have waited too long for hosts that no probe has reached. The broker claims no task while the
 * breaker is open, so they would wait for ever. A task's time starts when it becomes due.
 */
export class ExpireUnavailableHosts {
  readonly #deps: ExpireUnavailableDeps;

  constructor(deps: ExpireUnavailableDeps) {
    this.#deps = deps;
  }

  /**
   * Runs one round; none while the queue is paused, since no host is probed then. @throws the queue's error, or the
   * signal's reason
   */
  async run(signal: AbortSignal): Promise<void> {
    const { queue, maxThrottleMs, unavailable } = this.#deps;
    for (let afterId: number | undefined = 0; afterId !== undefined; ) {
      if (queue.control.isPaused() || unavailable(maxThrottleMs).size === 0) return;
      const lanes: Lane[] = await queue.source.lanesAfter(afterId, LANES);
      await this.#expireAll(lanes, signal);
      afterId = lanes.at(-1)?.id;
      await setImmediate();
    }
  }

  /** Hosts and times are those of now: since the lanes were read, a pause may have ended or a host come back. */
  async #expireAll(lanes: readonly Lane[], signal: AbortSignal): Promise<void> {
    const { queue, maxThrottleMs, unavailable } = this.#deps;
    const hosts = unavailable(maxThrottleMs);
    // A pause moved the hosts' times; the times when tasks became due stay, and are read as if it had not been.
    const dueBefore = queue.control.timeBefore(maxThrottleMs);
    for (const { id, host } of lanes) {
      const unavailableMs = hosts.get(host);
      if (unavailableMs !== undefined) await this.#expire(id, dueBefore, unavailableMs, signal);
    }
  }

  async #expire(lane: number, dueBefore: number, unavailableMs: number, signal: AbortSignal): Promise<void> {
    for (let claimed = TASKS; claimed === TASKS; ) {
      signal.throwIfAborted();
      if (this.#deps.queue.control.isPaused()) return;
      const tasks = await this.#deps.queue.source.claim([{ lane, limit: TASKS }], dueBefore);
      await Promise.all(tasks.map((task) => this.#deps.settle(this.#expired(task, unavailableMs))));
      claimed = tasks.length;
    }
  }

  #expired(claimed: ClaimedTask, unavailableMs: number): Settlement {
    const { clock } = this.#deps;
    const seconds = Math.round(unavailableMs / 1000);
    const code = "DOWNLOAD_HOST_UNAVAILABLE";
    const message = `${claimed.host} has not answered for ${seconds} s; queue.max_throttle_ms is over`;
    const attempt = { startedAt: clock.now(), durationMs: 0, code, message, bytes: 0 };
    return { claimed, verdict: { kind: "discard", code, message, attempt, attempts: claimed.attempts } };
  }
}
