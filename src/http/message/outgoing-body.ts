/** A body whose bytes come piece by piece. */
export interface BodySource {
  /**
   * The next piece, which must not change until the one after it is asked for; `undefined` at the end. What it throws
   * ends the request.
   */
  next(): Promise<Uint8Array | undefined>;
}

/** Nothing, bytes at hand, or bytes that come. */
export type RequestBody = Uint8Array | BodySource | undefined;
