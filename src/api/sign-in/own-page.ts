import { ApiError } from "../http/errors.ts";

// Rules against requests of foreign pages (CSRF). Browsers name the page's origin in these headers:
// https://fetch.spec.whatwg.org/#origin-header, https://www.w3.org/TR/fetch-metadata/

/**
 * Refuses changing requests of pages of another origin. Requests of other programs, which name no origin, pass.
 * @throws ApiError FORBIDDEN
 */
export function refuseForeignPage(request: Request, publicOrigin: string | undefined): void {
  if (isReading(request)) return;
  const site = request.headers.get("sec-fetch-site") ?? "none";
  const isOwn = request.headers.get("origin") === null || isOwnOrigin(request, publicOrigin);
  if (isOwn && (site === "none" || site === "same-origin")) return;
  throw new ApiError("FORBIDDEN", {
    message:
      "a web page of another origin must not change the service; configure server.auth.tokens, or use its own page",
  });
}

/**
 * For requests that a cookie authorizes, because a browser adds the cookie to requests of any page: a changing one must
 * come from the service's own page. @throws ApiError FORBIDDEN
 */
export function requireOwnPage(request: Request, publicOrigin: string | undefined): void {
  if (isReading(request)) return;
  const site = request.headers.get("sec-fetch-site");
  // Browsers send the header only over TLS and to this machine, and older ones not at all.
  if (site === null ? isOwnOrigin(request, publicOrigin) : site === "same-origin") return;
  throw new ApiError("FORBIDDEN", {
    message:
      "with a session only the service's own page can do this; another program needs a bearer token. Behind a proxy " +
      "that changes Host, set server.public_url",
  });
}

/**
 * For signing in and out, where there may be no cookie yet: a page must be the service's own. Another page could sign a
 * visitor in as somebody else. @throws ApiError FORBIDDEN
 */
export function refuseForeignSignIn(request: Request, publicOrigin: string | undefined): void {
  const { headers } = request;
  if (headers.has("origin") || headers.has("sec-fetch-site")) requireOwnPage(request, publicOrigin);
}

function isReading({ method }: Request): boolean {
  return method === "GET" || method === "HEAD";
}

/** True if `Origin` is the service: the same host and port as in `Host`, or the public URL. */
function isOwnOrigin({ headers }: Request, publicOrigin: string | undefined): boolean {
  const [origin, host] = [headers.get("origin"), headers.get("host")];
  if (origin === null) return false;
  return origin === publicOrigin || (host !== null && URL.parse(origin)?.host === host.toLowerCase());
}
