import { urlProblem } from "../../intake/manifest/field-rules.ts";
import { UsageError } from "../exit-code.ts";

/** A URL and its place in the text, from 1. */
interface ListedUrl {
  readonly url: string;
  readonly line: number;
}

/** One job's part of a list. */
interface ListPart {
  readonly resources: readonly { readonly id: string; readonly url: string }[];
  /** The line of each resource. */
  readonly lines: readonly number[];
}

const NAME_LENGTH_MAX = 80;
const PROBLEMS_MAX = 10;

/**
 * The URLs of a text with one URL per line. Empty lines and lines that begin with `#` are skipped.
 * @throws UsageError with the lines that a service would refuse for their syntax
 */
export function parseUrlList(text: string): ListedUrl[] {
  const urls: ListedUrl[] = [];
  const problems: string[] = [];
  for (const [at, raw] of text
    .replace(/^\uFEFF/, "")
    .split("\n")
    .entries()) {
    const url = raw.trim();
    if (url === "" || url.startsWith("#")) continue;
    const problem = urlProblem(url, () => undefined);
    if (problem === undefined) urls.push({ url, line: at + 1 });
    else problems.push(`\n  line ${at + 1}: ${problem}`);
  }
  if (problems.length > 0) {
    const more = problems.length > PROBLEMS_MAX ? `\n  and ${problems.length - PROBLEMS_MAX} more` : "";
    throw new UsageError(
      `not every line is a URL; no download was started${problems.slice(0, PROBLEMS_MAX).join("")}${more}`,
    );
  }
  if (urls.length === 0) throw new UsageError("the list contains no URL");
  return urls;
}

/** Parts of at most `size` URLs. A resource's id is its position in the list and the end of its URL. */
export function splitUrlList(urls: readonly ListedUrl[], size: number): ListPart[] {
  const digits = String(urls.length).length;
  return Array.from({ length: Math.ceil(urls.length / size) }, (_, part) => {
    const own = urls.slice(part * size, (part + 1) * size);
    return {
      resources: own.map(({ url }, at) => ({
        id: `${String(part * size + at + 1).padStart(digits, "0")}-${nameOf(url)}`,
        url,
      })),
      lines: own.map(({ line }) => line),
    };
  });
}

/** The manifest of a part as JSON bytes. */
export function listManifest({ resources }: ListPart, metadata: Readonly<Record<string, unknown>>): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ manifest_version: "v1", metadata, resources }));
}

/** The last part of a URL's path, in characters that every file system allows. */
function nameOf(url: string): string {
  const { pathname, hostname } = new URL(url);
  const last = pathname.split("/").findLast((part) => part !== "") ?? hostname;
  return last.replaceAll(/[^A-Za-z0-9._-]+/g, "_").slice(-NAME_LENGTH_MAX);
}
