import type { ObjectRef } from "./object-store.ts";

interface KeyState {
  /** Attempts that write this key, or may. */
  holders: number;
  /** Resolves when the removal that is under way has ended. */
  removal: Promise<void> | undefined;
}

/**
 * Keeps attempts and the removal of orphans apart, key by key. An attempt holds its key from its start until it is
 * settled. Orphans are removed only where nobody holds the key, and an upload waits for a removal that has begun.
 */
export class KeyGuard {
  readonly #keys = new Map<string, KeyState>();

  /** Keeps removals away from a key until the returned function is called. */
  hold(ref: ObjectRef): () => void {
    const name = nameOf(ref);
    const state = this.#stateOf(name);
    state.holders++;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      state.holders--;
      this.#drop(name, state);
    };
  }

  /** Resolves once nothing is being removed under a key that the caller holds. Rejects with the signal's reason. */
  async quiet(ref: ObjectRef, signal: AbortSignal): Promise<void> {
    const removal = this.#keys.get(nameOf(ref))?.removal;
    if (removal === undefined) return;
    signal.throwIfAborted();
    const aborted = Promise.withResolvers<void>();
    const stop = () => aborted.reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    await Promise.race([removal, aborted.promise]).finally(() => signal.removeEventListener("abort", stop));
  }

  /**
   * Runs the removal of something under a key. False, and nothing is done, where the key is held by more than the
   * `own` holders that the caller stands for, or where another removal runs.
   */
  async remove(ref: ObjectRef, work: () => Promise<void>, own = 0): Promise<boolean> {
    const name = nameOf(ref);
    const state = this.#stateOf(name);
    if (state.holders > own || state.removal !== undefined) return false;
    const ended = Promise.withResolvers<void>();
    state.removal = ended.promise;
    try {
      await work();
      return true;
    } finally {
      state.removal = undefined;
      this.#drop(name, state);
      ended.resolve();
    }
  }

  #stateOf(name: string): KeyState {
    let state = this.#keys.get(name);
    if (state === undefined) {
      state = { holders: 0, removal: undefined };
      this.#keys.set(name, state);
    }
    return state;
  }

  #drop(name: string, state: KeyState): void {
    if (state.holders === 0 && state.removal === undefined) this.#keys.delete(name);
  }
}

function nameOf({ bucket, key }: ObjectRef): string {
  return `${bucket}/${key}`;
}
