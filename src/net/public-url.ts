/** A URL as it is served: without userinfo. What is no URL comes back as it is, if it can hide none. */
export function publicUrl(url: string): string {
  // Nearly every URL has none, and parsing each row's would cost more than all else of the row.
  if (!url.includes("@")) return url;
  const parsed = URL.parse(url);
  if (parsed === null) return "";
  if (parsed.username === "" && parsed.password === "") return url;
  parsed.username = "";
  parsed.password = "";
  return parsed.href;
}
