import { MASK } from "../std/visible-text.ts";

/** A URL for the log: without userinfo and fragment, and with masked values in its query (`?token=***`). */
export function urlForLog(url: string): string {
  // Nearly every URL contains no secret, and parsing would cost as much as the log line.
  if (/^https?:\/\/[^\s\\@?#]+$/i.test(url)) return url;
  const parsed = URL.parse(url);
  if (parsed === null) return "";
  parsed.username = "";
  parsed.password = "";
  parsed.hash = "";
  const query = parsed.search
    .slice(1)
    .split("&")
    .map((pair) => (pair.includes("=") ? `${pair.slice(0, pair.indexOf("="))}=${MASK}` : pair && MASK))
    .join("&");
  parsed.search = "";
  return query === "" ? parsed.href : `${parsed.href}?${query}`;
}
