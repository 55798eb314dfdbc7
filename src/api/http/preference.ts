import type { Parameters } from "./parameters.ts";

/** How a client wants to wait for an answer: https://www.rfc-editor.org/rfc/rfc7240 */
interface Preference {
  /** It wants to hear at once, and to ask again. */
  readonly isAsync: boolean;
  /** Seconds that it would wait. */
  readonly wait?: number;
}

/** The header, for the document. */
export const PREFER: Parameters = {
  Prefer: {
    schema: { type: "string" },
    description: "How long to wait for the end: `respond-async` not at all, `wait=5` so many seconds, 60 at the most.",
    example: "respond-async",
    parse: (text) => text,
  },
};

/** What `Prefer` says; what it says besides is not ours, and ignored. */
export function preferenceOf(headers: Headers): Preference {
  const preferences = (headers.get("prefer") ?? "").toLowerCase().split(/[,;]/);
  const wait = preferences.map((preference) => /^\s*wait\s*=\s*"?(\d{1,6})"?\s*$/.exec(preference)?.[1]).find(Boolean);
  return {
    isAsync: wait === undefined && preferences.some((preference) => preference.trim() === "respond-async"),
    ...(wait !== undefined && { wait: Number(wait) }),
  };
}
