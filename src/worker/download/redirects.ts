import type { HeaderFields } from "../../http/message/header-fields.ts";
import { Failure } from "../../jobs/failure.ts";
import { basicAuthorization } from "../../net/basic-authorization.ts";
import { percentDecoded } from "../../net/percent-decoded.ts";
import { type RequestHeaders, withDefaults } from "../../net/request-header.ts";
import { numbered } from "../../std/counted.ts";
import type { AttemptCookies } from "./cookies.ts";

/** The part of an answer that redirects need. */
export interface HopResponse {
  readonly status: number;
  readonly headers: HeaderFields;
  /** Drops the body unread. */
  discard(): void;
}

export interface RedirectDeps<R extends HopResponse> {
  readonly maxRedirects: number;
  /** Follows from https: to http:, too. */
  readonly allowDowngrade: boolean;
  /** The attempt's cookies; redirects add theirs. */
  readonly cookies: Pick<AttemptCookies, "note" | "headerFor">;
  /** The headers that the configuration adds to a request to this URL, for each hop separately. */
  readonly configured: (url: URL) => RequestHeaders;
  /** Sends one GET. */
  readonly get: (url: URL, headers: RequestHeaders) => Promise<R>;
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** The headers that may go to an origin that the client did not name: no credentials and no header of its own. */
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
 * Resolves with the first answer that is no redirect or has no usable location, and its URL. The egress policy judges
 * each hop. No secret goes to another origin; an origin gets only the cookies that their own rules permit.
 *
 * Rejects with a `Failure` of code DOWNLOAD_TOO_MANY_REDIRECTS or DOWNLOAD_URL_NOT_ALLOWED, or with the rejection of
 * `get`.
 */
export async function follow<R extends HopResponse>(
  start: URL,
  headers: RequestHeaders,
  { maxRedirects, allowDowngrade, cookies, configured, get }: RedirectDeps<R>,
): Promise<{ response: R; url: URL }> {
  let url = start;
  let own = withUserinfo(start, headers);
  for (let hops = 0; ; hops++) {
    const response = await get(url, withCookies(url, withDefaults(own, configured(url)), cookies));
    if (!REDIRECTS.has(response.status)) return { response, url };
    if (hops >= maxRedirects) {
      response.discard();
      throw new Failure("DOWNLOAD_TOO_MANY_REDIRECTS", `more than ${numbered(maxRedirects, "redirect")}`);
    }
    const next = target(response, url);
    if (next === undefined) return { response, url };
    response.discard();
    checkTarget(next, url, allowDowngrade);
    await cookies.note(url, response.headers.all("set-cookie"));
    if (next.origin !== url.origin) own = harmlessOf(own);
    own = withUserinfo(next, own);
    url = next;
  }
}

/** The URL that a redirect leads to; `undefined` without a usable location. */
function target(response: HopResponse, from: URL): URL | undefined {
  const locations = new Set(response.headers.all("location").map(trimmed));
  const [location] = locations;
  // An empty location would lead to the same URL in a loop.
  const url = locations.size !== 1 || !location ? null : URL.parse(percentEncoded(location), from.href);
  if (url === null) return undefined;
  url.hash = "";
  return url;
}

/** @throws Failure, for a URL that no redirect may lead to */
function checkTarget(url: URL, from: URL, allowDowngrade: boolean): void {
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new Failure("DOWNLOAD_URL_NOT_ALLOWED", `redirected to a ${url.protocol} URL`);
  }
  if (from.protocol === "https:" && url.protocol === "http:" && !allowDowngrade) {
    throw new Failure("DOWNLOAD_URL_NOT_ALLOWED", "redirected from https: to http:; download.allow_downgrade is false");
  }
}

/** Drops spaces and control characters at both ends, as the URL parser does. */
function trimmed(location: string): string {
  return location.replaceAll(/^[\0-\x20]+|[\0-\x20]+$/g, "");
}

/** Encodes bytes above ASCII without guessing a charset: the server gets its own bytes back. */
function percentEncoded(latin1: string): string {
  return latin1.replaceAll(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`);
}

function harmlessOf(headers: RequestHeaders): RequestHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => HARMLESS.has(name.toLowerCase())));
}

/** Adds the attempt's cookies after the client's, in the client's own header if it has one. */
function withCookies(url: URL, own: RequestHeaders, cookies: Pick<AttemptCookies, "headerFor">): RequestHeaders {
  const name = Object.keys(own).find((key) => key.toLowerCase() === "cookie") ?? "Cookie";
  const value = cookies.headerFor(url, own[name]);
  return value === undefined ? own : { ...own, [name]: value };
}

/** Turns the userinfo of a URL into Basic authentication (RFC 7617), unless the client has its own. */
function withUserinfo(url: URL, headers: RequestHeaders): RequestHeaders {
  if (url.username === "" && url.password === "") return headers;
  if (Object.keys(headers).some((name) => name.toLowerCase() === "authorization")) return headers;
  const [username, password] = [percentDecoded(url.username), percentDecoded(url.password)];
  return { ...headers, Authorization: basicAuthorization(username, password) };
}
