/** Names and values in the order in which they are sent; values are Latin-1, one character per byte. */
export type RequestFields = Readonly<Record<string, string>>;

/** A method or a name. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** A target is visible ASCII, as a parsed URL is. */
const TARGET = /^[\x21-\x7e]+$/;

/**
 * The head of a request (RFC 9112, sections 3 and 5) as Latin-1 text: `target` as it is, `Host` first (section 3.2).
 * Throws an `Error` for a part that cannot be sent; the message does not repeat the value.
 */
export function requestHead(method: string, target: string, host: string, fields: RequestFields): string {
  if (!TOKEN.test(method)) throw new Error("the request method cannot be sent");
  if (!TARGET.test(target)) throw new Error("the request target cannot be sent");
  let text = `${method} ${target} HTTP/1.1\r\n${fieldLine("Host", host)}`;
  for (const name in fields) text += fieldLine(name, fields[name] ?? "");
  return `${text}\r\n`;
}

function fieldLine(name: string, value: string): string {
  if (!TOKEN.test(name)) throw new Error("a header's name cannot be sent");
  if (!VALUE.test(value)) throw new Error("a header's value cannot be sent");
  return `${name}: ${value}\r\n`;
}

/** Path and query of a URL as written, an empty query included: `URL.search` would drop its `?`. */
export function originForm(url: URL): string {
  const { href } = url;
  const start = href.indexOf("/", url.protocol.length + 2);
  const fragment = href.indexOf("#", start);
  return fragment === -1 ? href.slice(start) : href.slice(start, fragment);
}
