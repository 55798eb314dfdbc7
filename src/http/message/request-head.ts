/** Names and values in the order in which they are sent; values are Latin-1, one character per byte. */
export type RequestFields = Readonly<Record<string, string>>;

const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** What is no byte of a head, or half a line end. */
const FORBIDDEN = /[^\t\r\n\x20-\x7e\x80-\xff]|\r(?!\n)/;
/** A target holds what a parsed URL can hold: visible ASCII. */
const TARGET = /^[\x21-\x7e]+$/;

/**
 * The head of a request (RFC 9112, 3) as Latin-1 text: `target` as it is, `Host` first.
 * Throws an `Error` for what cannot be sent, without repeating the value.
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
  // One look at the whole costs half of a look at each value: a value with a line end makes one line more.
  if (FORBIDDEN.test(text) || countLines(text) !== lines) throw new Error("a header's value cannot be sent");
  return text;
}

function countLines(text: string): number {
  let lines = 0;
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) lines++;
  return lines;
}

/** Path and query of a URL as it spells them, an empty query included: `URL.search` would drop its `?`. */
export function originForm(url: URL): string {
  const { href } = url;
  const start = href.indexOf("/", url.protocol.length + 2);
  const fragment = href.indexOf("#", start);
  return fragment === -1 ? href.slice(start) : href.slice(start, fragment);
}
