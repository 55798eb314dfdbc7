/** A body that arrives piece by piece. */
export interface BodySource {
  /** The next piece, which must not change until the next call; `undefined` at the end. An error ends the request. */
  next(): Promise<Uint8Array | undefined>;
}

/** `undefined`: no body. */
export type RequestBody = Uint8Array | BodySource | undefined;
