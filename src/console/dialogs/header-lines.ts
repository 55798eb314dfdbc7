// The rules of the service for headers, which the console cannot import; a test compares them.
const HEADERS_MAX = 10;
const NAME_LENGTH_MAX = 128;
const VALUE_BYTES_MAX = 1024;
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const SET_BY_FETCHBOX =
  /^(?:host|content-length|transfer-encoding|connection|upgrade|te|trailer|proxy-.*|accept-encoding|range)$/i;

const LIKE = 'Enter "Name: value", like "Referer: https://example.com/".';

interface HeaderLines {
  /** The headers of the valid lines. */
  readonly headers: Readonly<Record<string, string>>;
  /** The problem of the first invalid line, and its remedy. */
  readonly problem: string | undefined;
}

/** The headers of a text with one `Name: value` a line. Empty lines do not count. */
export function readHeaderLines(text: string): HeaderLines {
  const headers = new Map<string, { readonly name: string; readonly value: string; readonly line: number }>();
  let problem: string | undefined;
  for (const [at, written] of text.split("\n").entries()) {
    if (written.trim() === "") continue;
    const line = at + 1;
    const colon = written.indexOf(":");
    const [name, value] = [written.slice(0, Math.max(0, colon)).trim(), written.slice(colon + 1).trim()];
    const first = headers.get(name.toLowerCase());
    const own = colon < 0 ? `it has no colon. ${LIKE}` : (nameProblem(name) ?? valueProblem(value));
    const repeats =
      first && `it repeats ${first.name} of line ${first.line}. Keep one of them; letter case is ignored.`;
    const found = own ?? repeats;
    if (found === undefined) headers.set(name.toLowerCase(), { name, value, line });
    else problem ??= `Line ${line} of the headers: ${found}`;
  }
  if (headers.size > HEADERS_MAX) problem ??= `A replay sets at most ${HEADERS_MAX} headers. Remove some lines.`;
  return { headers: Object.fromEntries([...headers.values()].map(({ name, value }) => [name, value])), problem };
}

function nameProblem(name: string): string | undefined {
  if (name === "") return `it has no name before the colon. ${LIKE}`;
  if (!NAME.test(name)) return `its name has a character that no header name may have, such as a space. ${LIKE}`;
  if (name.length > NAME_LENGTH_MAX)
    return `its name has more than ${NAME_LENGTH_MAX} characters. Enter a shorter name.`;
  return SET_BY_FETCHBOX.test(name) || name === "__proto__"
    ? `a replay must not set ${name}. Remove the line.`
    : undefined;
}

function valueProblem(value: string): string | undefined {
  if (!/^[\t\u0020-\u007e\u0080-\u00ff]*$/.test(value)) {
    return "its value has a character that no header may have. Encode control characters and those beyond Latin-1.";
  }
  return value.length > VALUE_BYTES_MAX
    ? `its value has more than ${VALUE_BYTES_MAX} characters. Enter a shorter value.`
    : undefined;
}
