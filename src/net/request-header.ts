/** The rules for the headers of a download, which a manifest, a handler or the configuration may set. */

/** Most headers of a resource, of the configuration's defaults, or of a replay's overrides. */
export const REQUEST_HEADERS_MAX = 10;
/** Most headers of a task, which has those of its resource and of the configuration. */
export const TASK_HEADERS_MAX = 2 * REQUEST_HEADERS_MAX;
const NAME_LENGTH_MAX = 128;
export const HEADER_VALUE_BYTES_MAX = 1024;

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
// FetchBox alone sets framing, routing and hop-by-hop headers (RFC 9110, 7.6.1).
const OURS = /^(?:host|content-length|transfer-encoding|connection|upgrade|te|trailer|proxy-.*)$/i;
// With these headers the origin could serve a coding or a part, which would be stored in place of the object.
const WOULD_CHANGE_BYTES = /^(?:accept-encoding|range)$/i;
// Authorization, Cookie, X-Api-Key, Private-Token, X-Secret, Password and the like.
const MAY_BE_SECRET = /auth|cookie|credential|csrf|jwt|key|pass|secret|session|signature|token|xsrf/i;

export type RequestHeaders = Readonly<Record<string, string>>;

/** Both sets of headers; `own` wins over `defaults`, regardless of letter case. */
export function withDefaults(own: RequestHeaders, defaults: RequestHeaders): RequestHeaders {
  const names = Object.keys(own);
  if (names.length === 0) return defaults;
  let all: Record<string, string> | undefined;
  for (const name in defaults) if (!hasName(names, name)) (all ??= {})[name] = defaults[name] ?? "";
  return all === undefined ? own : Object.assign(all, own);
}

function hasName(names: readonly string[], wanted: string): boolean {
  const lower = wanted.toLowerCase();
  return names.some((name) => name.toLowerCase() === lower);
}

/** Whether a text is a valid header name. */
export function isHeaderName(name: string): boolean {
  return TOKEN.test(name);
}

/** The problem of a header's name, or `undefined`. */
export function headerNameProblem(name: string): string | undefined {
  if (!isHeaderName(name)) return "is not a header name (a token of RFC 9110)";
  if (name.length > NAME_LENGTH_MAX) return `must have a name of at most ${NAME_LENGTH_MAX} characters`;
  if (OURS.test(name)) return "must not be set: FetchBox sets it itself";
  if (WOULD_CHANGE_BYTES.test(name)) return "must not be set: FetchBox stores resources whole and as they are served";
  // A JavaScript object may not keep a member of this name.
  if (name === "__proto__") return "must not be set";
  return undefined;
}

/** The problem of a header's value, or `undefined`. It never repeats the value. A value is sent as Latin-1. */
export function headerValueProblem(value: string): string | undefined {
  if (!/^[\t\u0020-\u007e\u0080-\uffff]*$/.test(value)) {
    return "must not contain CR, LF, NUL or other control characters";
  }
  if (!/^[\t\u0020-\u00ff]*$/.test(value)) return "must not contain characters beyond Latin-1; encode them";
  return value.length > HEADER_VALUE_BYTES_MAX ? `must be at most ${HEADER_VALUE_BYTES_MAX} bytes` : undefined;
}

/** Whether the header's name suggests a secret value. */
export function mayBeSecret(name: string): boolean {
  return MAY_BE_SECRET.test(name);
}
