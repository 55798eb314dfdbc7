/**
 * Rules for the headers that are sent with a download, whoever names them: a manifest, a handler, the configuration.
 */

/** Of a resource, of the configuration's defaults, or of a replay's overrides. */
export const REQUEST_HEADERS_MAX = 10;
/** Of a task, which has those of its resource and the configuration's. */
export const TASK_HEADERS_MAX = 2 * REQUEST_HEADERS_MAX;
const NAME_LENGTH_MAX = 128;
export const HEADER_VALUE_BYTES_MAX = 1024;

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
// Framing, routing and hop-by-hop headers (RFC 9110, 7.6.1) are ours to say.
const OURS = /^(?:host|content-length|transfer-encoding|connection|upgrade|te|trailer|proxy-.*)$/i;
// An object is stored as it is served, whole: a coding or a part of it would be stored in its place.
const WOULD_CHANGE_BYTES = /^(?:accept-encoding|range)$/i;
// Authorization, Cookie, X-Api-Key, Private-Token, X-Secret, Password and the like.
const MAY_BE_SECRET = /auth|cookie|credential|csrf|jwt|key|pass|secret|session|signature|token|xsrf/i;

export type RequestHeaders = Readonly<Record<string, string>>;

/** Both, where each name of `own` stands instead of the same name of `defaults`, whatever the letter case. */
export function withDefaults(own: RequestHeaders, defaults: RequestHeaders): RequestHeaders {
  const names = new Set(Object.keys(own).map((name) => name.toLowerCase()));
  const added = Object.entries(defaults).filter(([name]) => !names.has(name.toLowerCase()));
  return added.length === 0 ? own : Object.fromEntries([...added, ...Object.entries(own)]);
}

/** Whether a text can name a header at all. */
export function isHeaderName(name: string): boolean {
  return TOKEN.test(name);
}

/** Says what is wrong with a header's name, or nothing. */
export function headerNameProblem(name: string): string | undefined {
  if (!isHeaderName(name)) return "is not a header name (a token of RFC 9110)";
  if (name.length > NAME_LENGTH_MAX) return `must be named with at most ${NAME_LENGTH_MAX} characters`;
  if (OURS.test(name)) return "must not be set, FetchBox sets it itself";
  if (WOULD_CHANGE_BYTES.test(name)) return "must not be set, resources are stored whole and as they are served";
  // No object in JavaScript can be trusted to keep a member of this name.
  if (name === "__proto__") return "must not be set";
  return undefined;
}

/** Says what is wrong with a header's value, without repeating it, or nothing. A value is sent as Latin-1. */
export function headerValueProblem(value: string): string | undefined {
  if (!/^[\t\u0020-\u007e\u0080-\uffff]*$/.test(value)) {
    return "must not contain CR, LF, NUL or other control characters";
  }
  if (!/^[\t\u0020-\u00ff]*$/.test(value)) return "must not contain characters beyond Latin-1; encode them";
  return value.length > HEADER_VALUE_BYTES_MAX ? `must be at most ${HEADER_VALUE_BYTES_MAX} bytes` : undefined;
}

/** Whether a header of this name may carry a secret, by what it is called. */
export function mayBeSecret(name: string): boolean {
  return MAY_BE_SECRET.test(name);
}
