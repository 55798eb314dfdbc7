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
  /** Where each of them stands. */
  readonly lines: readonly number[];
}

const NAME_LENGTH_MAX = 80;
const PROBLEMS_MAX = 10;

/**
 * The URLs of a text, one a line; empty lines and those that begin with `#` say nothing.
 * @throws UsageError, with every line that a service would refuse for how it is written
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
      `not every line is a URL; nothing was begun${problems.slice(0, PROBLEMS_MAX).join("")}${more}`,
    );
  }
  if (urls.length === 0) throw new UsageError("the list has no URL in it");
  return urls;
}

/** Parts of at most `size` URLs. Each resource is named by its place in the list and by the end of its URL. */
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

/** A manifest of a part, as it is sent. */
export function listManifest({ resources }: ListPart, metadata: Readonly<Record<string, unknown>>): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ manifest_version: "v1", metadata, resources }));
}

/** The last part of a URL's path, of letters that every file system takes. */
function nameOf(url: string): string {
  const { pathname, hostname } = new URL(url);
  const last = pathname.split("/").findLast((part) => part !== "") ?? hostname;
  return last.replaceAll(/[^A-Za-z0-9._-]+/g, "_").slice(-NAME_LENGTH_MAX);
}
