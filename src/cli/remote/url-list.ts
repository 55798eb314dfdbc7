import { UsageError } from "../exit-code.ts";

/** One job's part of a list. */
export interface ListedResource {
  readonly id: string;
  readonly url: string;
}

const NAME_LENGTH_MAX = 80;

/** The URLs of a text, one a line; empty lines and those that begin with `#` say nothing. @throws UsageError */
export function parseUrlList(text: string): string[] {
  const urls: string[] = [];
  for (const [at, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const url = URL.parse(line);
    if (url === null || !/^https?:$/.test(url.protocol)) {
      throw new UsageError(`line ${at + 1} is no http: or https: URL; nothing was submitted`);
    }
    urls.push(line);
  }
  if (urls.length === 0) throw new UsageError("the list has no URL in it");
  return urls;
}

/** Parts of at most `size` URLs. Each resource is named by its place in the list and by the end of its URL. */
export function splitUrlList(urls: readonly string[], size: number): ListedResource[][] {
  const digits = String(urls.length).length;
  const resources = urls.map((url, at) => ({ id: `${String(at + 1).padStart(digits, "0")}-${nameOf(url)}`, url }));
  return Array.from({ length: Math.ceil(urls.length / size) }, (_, at) => resources.slice(at * size, (at + 1) * size));
}

/** The last part of a URL's path, of letters that every file system takes. */
function nameOf(url: string): string {
  const { pathname, hostname } = new URL(url);
  const last = pathname.split("/").findLast((part) => part !== "") ?? hostname;
  return last.replaceAll(/[^A-Za-z0-9._-]+/g, "_").slice(-NAME_LENGTH_MAX);
}
