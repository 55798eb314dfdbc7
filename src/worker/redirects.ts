import { Failure, httpFailure } from "../jobs/failure.ts";
import { discardBody } from "./request.ts";

export interface RedirectDeps {
  readonly maxRedirects: number;
  /** From https: to http:, too. */
  readonly allowDowngrade: boolean;
  /** One hop, by whatever way. */
  readonly get: (url: URL, headers: Readonly<Record<string, string>>) => Promise<Response>;
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** What may be told to an origin that the client did not name: neither credentials nor anything of the client's own. */
const HARMLESS = new Set([
  "accept",
  "accept-encoding",
  "accept-language",
  "if-range",
  "range",
  "traceparent",
  "user-agent",
]);

/**
 * Follows redirects by hand, so that every hop is judged anew and nothing secret crosses to another origin.
 * @throws Failure DOWNLOAD_TOO_MANY_REDIRECTS, DOWNLOAD_URL_NOT_ALLOWED, DOWNLOAD_HTTP_3xx, and what `get` throws
 */
export async function follow(
  start: URL,
  headers: Readonly<Record<string, string>>,
  { maxRedirects, allowDowngrade, get }: RedirectDeps,
): Promise<{ response: Response; url: URL }> {
  let url = start;
  let sent = withUserinfo(start, headers);
  for (let hops = 0; ; hops++) {
    const response = await get(url, sent);
    if (!REDIRECTS.has(response.status)) return { response, url };
    discardBody(response);
    if (hops >= maxRedirects) {
      throw new Failure("DOWNLOAD_TOO_MANY_REDIRECTS", `more than ${maxRedirects} redirects`);
    }
    const next = target(response, url, allowDowngrade);
    if (next.origin !== url.origin) sent = harmlessOf(sent);
    sent = withUserinfo(next, sent);
    url = next;
  }
}

function target(response: Response, from: URL, allowDowngrade: boolean): URL {
  const location = response.headers.get("location");
  // An empty one would lead to where it came from, again and again.
  const url = !location ? null : URL.parse(fromBytes(location), from.href);
  if (url === null) throw httpFailure(response.status);
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new Failure("DOWNLOAD_URL_NOT_ALLOWED", `redirected to a ${url.protocol} URL`);
  }
  if (from.protocol === "https:" && url.protocol === "http:" && !allowDowngrade) {
    throw new Failure("DOWNLOAD_URL_NOT_ALLOWED", "redirected from https: to http:; download.allow_downgrade is false");
  }
  return url;
}

function harmlessOf(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => HARMLESS.has(name.toLowerCase())));
}

/** Userinfo of a URL becomes Basic authentication (RFC 7617), unless the client gave its own. */
function withUserinfo(url: URL, headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  if (url.username === "" && url.password === "") return headers;
  if (Object.keys(headers).some((name) => name.toLowerCase() === "authorization")) return headers;
  const userinfo = `${decoded(url.username)}:${decoded(url.password)}`;
  return { ...headers, Authorization: `Basic ${Buffer.from(userinfo).toString("base64")}` };
}

/** A stray `%` stands for itself. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Headers are read as Latin-1, but a `Location` with other than ASCII is UTF-8 as browsers take it, if it can be. */
function fromBytes(header: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(header, "latin1"));
  } catch {
    return header;
  }
}
