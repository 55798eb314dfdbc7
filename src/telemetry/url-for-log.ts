/** A URL as it is logged: without userinfo and fragment, the values of its query masked (`?token=***`). */
export function urlForLog(url: string): string {
  // Nearly every URL has nothing to hide, and to parse it would cost as much as its line.
  if (/^https?:\/\/[^\s\\@?#]+$/i.test(url)) return url;
  const parsed = URL.parse(url);
  if (parsed === null) return "";
  parsed.username = "";
  parsed.password = "";
  parsed.hash = "";
  const query = parsed.search
    .slice(1)
    .split("&")
    .map((pair) => (pair.includes("=") ? `${pair.slice(0, pair.indexOf("="))}=***` : pair && "***"))
    .join("&");
  parsed.search = "";
  return query === "" ? parsed.href : `${parsed.href}?${query}`;
}
