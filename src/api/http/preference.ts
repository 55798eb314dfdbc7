import type { Parameters } from "./parameters.ts";

/** The preference of a client for waiting (RFC 7240, sections 4.1 and 4.3). */
interface Preference {
  /** The client wants an answer at once, and asks again. */
  readonly isAsync: boolean;
  /** Seconds that the client would wait. */
  readonly wait?: number;
}

/** The most seconds that an answer waits for the end of an operation, and the default. */
export const WAIT_SECONDS_MAX = 60;
export const WAIT_SECONDS = 20;

/** The `Prefer` header, for the OpenAPI document. */
export const PREFER: Parameters = {
  Prefer: {
    schema: { type: "string" },
    description:
      "Time to wait for the end of an operation (RFC 7240): `respond-async`: do not wait. `wait=N`: wait at most N " +
      `seconds, 0 to ${WAIT_SECONDS_MAX}; a larger N counts as ${WAIT_SECONDS_MAX}. Default: \`wait=${WAIT_SECONDS}\`.`,
    example: "respond-async",
    parse: (text) => text,
  },
};

/** The preference in the headers. Other preferences are ignored (RFC 7240, section 2). */
export function preferenceOf(headers: Headers): Preference {
  const preferences = (headers.get("prefer") ?? "").toLowerCase().split(/[,;]/);
  const wait = preferences.map((preference) => /^\s*wait\s*=\s*"?(\d{1,6})"?\s*$/.exec(preference)?.[1]).find(Boolean);
  return {
    isAsync: wait === undefined && preferences.some((preference) => preference.trim() === "respond-async"),
    ...(wait !== undefined && { wait: Number(wait) }),
  };
}
