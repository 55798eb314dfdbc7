import type { ObjectRef } from "../jobs/object-store.ts";
import { unlessAborted } from "../std/unless-aborted.ts";

interface KeyState {
  /** Attempts that write this key, or may. */
  holders: number;
  /** Resolves when the removal that is under way has ended. */
  removal: Promise<void> | undefined;
}

/**
 * Keeps attempts and the removal of orphans apart, key by key. An attempt holds its key from its start until it is
 * settled. Orphans are removed only where no attempt holds the key, and an upload waits for a removal that has started.
 */
export class KeyGuard {
  /** By bucket and key. */
  readonly #buckets = new Map<string, Map<string, KeyState>>();

  /** Keeps removals away from a key until the returned function is called. */
  hold(ref: ObjectRef): () => void {
    const state = this.#stateOf(ref);
    state.holders++;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      state.holders--;
      this.#drop(ref, state);
    };
  }

  /**
   * Resolves once the removal under a key that the caller holds has ended; `undefined` where no removal runs. Rejects
   * with the signal's reason.
   */
  quiet({ bucket, key }: ObjectRef, signal: AbortSignal): Promise<void> | undefined {
    const removal = this.#buckets.get(bucket)?.get(key)?.removal;
    return removal === undefined ? undefined : unlessAborted(removal, signal);
  }

  /**
   * Runs the removal of something under a key. Returns false without a removal where the key is held by more than the
   * `own` holders that the caller stands for, or where another removal runs.
   */
  async remove(ref: ObjectRef, work: () => Promise<void>, own = 0): Promise<boolean> {
    const state = this.#stateOf(ref);
    if (state.holders > own || state.removal !== undefined) return false;
    const ended = Promise.withResolvers<void>();
    state.removal = ended.promise;
    try {
      await work();
      return true;
    } finally {
      state.removal = undefined;
      this.#drop(ref, state);
      ended.resolve();
    }
  }

  #stateOf({ bucket, key }: ObjectRef): KeyState {
    let keys = this.#buckets.get(bucket);
    if (keys === undefined) {
      keys = new Map();
      this.#buckets.set(bucket, keys);
    }
    let state = keys.get(key);
    if (state === undefined) {
      state = { holders: 0, removal: undefined };
      keys.set(key, state);
    }
    return state;
  }

  #drop({ bucket, key }: ObjectRef, state: KeyState): void {
    if (state.holders === 0 && state.removal === undefined) this.#buckets.get(bucket)?.delete(key);
  }
}
