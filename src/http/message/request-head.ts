/** Names and values in the order in which they are sent; values are Latin-1, one character per byte. */
export type RequestFields = Readonly<Record<string, string>>;

const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Characters that a head must not contain, and a CR without its LF. */
const FORBIDDEN = /[^\t\r\n\x20-\x7e\x80-\xff]|\r(?!\n)/;
/** A target is visible ASCII, as a parsed URL is. */
const TARGET = /^[\x21-\x7e]+$/;

/**
 * The head of a request (RFC 9112, sections 3 and 5) as Latin-1 text: `target` as it is, `Host` first (section 3.2).
 * Throws an `Error` for a part that cannot be sent; the message does not repeat the value.
 */
export function requestHead(method: string, target: string, host: string, fields: RequestFields): string {
  if (!TARGET.test(target)) throw new Error("the request target cannot be sent");
  let text = `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n`;
  let lines = 3;
  for (const name in fields) {
    if (!NAME.test(name)) throw new Error("a header's name cannot be sent");
    text += `${name}: ${fields[name] ?? ""}\r\n`;
    lines++;
  }
  text += "\r\n";
  // One check of the whole text costs half as much as a check of each value. A value with a line end adds a line.
  if (FORBIDDEN.test(text) || countLines(text) !== lines) throw new Error("a header's value cannot be sent");
  return text;
}

function countLines(text: string): number {
  let lines = 0;
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) lines++;
  return lines;
}

/** Path and query of a URL as written, an empty query included: `URL.search` would drop its `?`. */
export function originForm(url: URL): string {
  const { href } = url;
  const start = href.indexOf("/", url.protocol.length + 2);
  const fragment = href.indexOf("#", start);
  return fragment === -1 ? href.slice(start) : href.slice(start, fragment);
}
