import type { BodySource } from "../../../http/message/outgoing-body.ts";

/** Passes bytes from a writer to a reader that pulls, one piece at a time: no piece is queued. */
export interface PullStream {
  readonly source: BodySource;
  /** Resolves once the whole chunk has been pulled. Rejects after `fail`. */
  give(chunk: Uint8Array): Promise<void>;
  /** Ends the stream after the last chunk. */
  end(): void;
  /** Ends the stream with an error, and a `give` that waits; both reject with it from now on. */
  fail(error: unknown): void;
}

/** Largest piece of a pull, so that progress shows with large chunks too. */
const PIECE_BYTES_MAX = 256 * 1024;

/** `onPiece` is called for every piece that is pulled. */
export function createPullStream(onPiece: () => void): PullStream {
  let given: { rest: Uint8Array; resolve: () => void; reject: (error: unknown) => void } | undefined;
  let wanted: (() => void) | undefined;
  let state: { kind: "open" } | { kind: "ended" } | { kind: "failed"; error: unknown } = { kind: "open" };

  function wake(): void {
    wanted?.();
    wanted = undefined;
  }

  /** A second pull shows that the piece before is on its way: the `give` of its chunk resolves after its last piece. */
  async function next(): Promise<Uint8Array | undefined> {
    if (given !== undefined && given.rest.byteLength === 0) {
      given.resolve();
      given = undefined;
    }
    while (given === undefined && state.kind === "open") {
      await new Promise<void>((resolve) => {
        wanted = resolve;
      });
    }
    if (state.kind === "failed") throw state.error;
    if (given === undefined) return undefined;
    const { rest } = given;
    onPiece();
    given.rest = rest.subarray(PIECE_BYTES_MAX);
    return rest.subarray(0, PIECE_BYTES_MAX);
  }

  return {
    source: { next },
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
