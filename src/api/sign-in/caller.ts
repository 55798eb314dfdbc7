import type { KnownToken } from "./known-tokens.ts";
import type { Session } from "./sessions.ts";

/** The caller of a request, identified by its token. It contains no secret. */
export interface Caller extends Pick<KnownToken, "id" | "name" | "role"> {
  /** The session whose cookie the request carries; `undefined` for a bearer token. */
  readonly session: Session | undefined;
  /** False once its session has ended, or its token is no longer configured. It counts as no use of the session. */
  readonly isCurrent: () => boolean;
}
