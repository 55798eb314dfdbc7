/** A URL for answers, without userinfo. Text that is no URL stays as it is, unless it contains an `@`. */
export function publicUrl(url: string): string {
  // Nearly every URL has no userinfo, and parsing it would cost more than the rest of the row.
  if (!url.includes("@")) return url;
  const parsed = URL.parse(url);
  if (parsed === null) return "";
  if (parsed.username === "" && parsed.password === "") return url;
  parsed.username = "";
  parsed.password = "";
  return parsed.href;
}
