/** Most levels of nested arrays and objects: more than any real document, few enough for recursion. */
export const JSON_DEPTH_MAX = 64;

/** The reason why a text is not strict JSON, with the place as a JSON pointer (RFC 6901); "" is the whole value. */
export class StrictJsonError extends Error {
  override readonly name = "StrictJsonError";
  readonly path: string;

  constructor(message: string, path = "") {
    super(message);
    this.path = path;
  }
}
