/** Passes bytes from who writes to who pulls, one piece at a time: nothing is queued. */
export interface Handover {
  readonly stream: ReadableStream<Uint8Array>;
  /** Resolves once all of it has been pulled. Rejects after `fail`. */
  give(chunk: Uint8Array): Promise<void>;
  /** Ends the stream after what was given. */
  end(): void;
  /** Ends the stream with an error, and a `give` that waits; both reject with it from now on. */
  fail(error: unknown): void;
}

/** What a pull takes at most, so that progress shows with large chunks too. */
const PIECE_BYTES_MAX = 256 * 1024;

/** `onPiece` is called for every piece that is pulled. */
export function createHandover(onPiece: () => void): Handover {
  let given: { rest: Uint8Array; resolve: () => void; reject: (error: unknown) => void } | undefined;
  let wanted: (() => void) | undefined;
  let state: { kind: "open" } | { kind: "ended" } | { kind: "failed"; error: unknown } = { kind: "open" };

  function wake(): void {
    wanted?.();
    wanted = undefined;
  }

  async function pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    while (given === undefined && state.kind === "open") {
      await new Promise<void>((resolve) => {
        wanted = resolve;
      });
    }
    if (state.kind === "failed") throw state.error;
    if (given === undefined) return controller.close();
    const { rest, resolve } = given;
    controller.enqueue(rest.subarray(0, PIECE_BYTES_MAX));
    onPiece();
    given.rest = rest.subarray(PIECE_BYTES_MAX);
    if (given.rest.byteLength > 0) return;
    given = undefined;
    resolve();
  }

  return {
    stream: new ReadableStream<Uint8Array>({ pull }, { highWaterMark: 0 }),
    give(chunk) {
      if (state.kind === "failed") return Promise.reject(state.error);
      if (chunk.byteLength === 0) return Promise.resolve();
      return new Promise<void>((resolve, reject) => {
        given = { rest: chunk, resolve, reject };
        wake();
      });
    },
    end() {
      if (state.kind === "open") state = { kind: "ended" };
      wake();
    },
    fail(error) {
      if (state.kind === "failed") return;
      state = { kind: "failed", error };
      given?.reject(error);
      given = undefined;
      wake();
    },
  };
}
