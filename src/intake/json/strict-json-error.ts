/** Arrays and objects in one another: more than anybody writes, few enough to walk by recursion. */
export const JSON_DEPTH_MAX = 64;

/** What makes a text no JSON to us, and where in its value, as a JSON pointer; "" is the whole. */
export class StrictJsonError extends Error {
  override readonly name = "StrictJsonError";
  readonly path: string;

  constructor(message: string, path = "") {
    super(message);
    this.path = path;
  }
}
