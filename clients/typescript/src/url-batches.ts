import type { Manifest } from "./model.ts";

/** The part of a manifest that all jobs of a list share. */
export type JobTemplate = Omit<Manifest, "manifest_version" | "resources">;

/** The manifest of one job, with the position of its first URL in the list, from 0. */
export interface Batch {
  readonly manifest: Manifest;
  readonly firstAt: number;
}

const NAME_LENGTH_MAX = 80;
const DIGITS = 7;

/** The jobs of a list of URLs, each with at most `size` of them. The same list always gives the same manifests. */
export async function* batchesOf(
  urls: Iterable<string> | AsyncIterable<string>,
  size: number,
  template: JobTemplate,
): AsyncGenerator<Batch> {
  let own: string[] = [];
  let firstAt = 0;
  const batch = (): Batch => ({ firstAt, manifest: manifestOf(own, firstAt, template) });
  for await (const url of urls) {
    own.push(url);
    if (own.length < size) continue;
    yield batch();
    firstAt += own.length;
    own = [];
  }
  if (own.length > 0) yield batch();
}

/** A resource's id is its position in the list, from 1, and the end of its URL. */
function manifestOf(urls: readonly string[], firstAt: number, template: JobTemplate): Manifest {
  const resources = urls.map((url, at) => ({
    id: `${String(firstAt + at + 1).padStart(DIGITS, "0")}-${nameOf(url)}`,
    url,
  }));
  return { ...template, manifest_version: "v1", resources };
}

/** The last part of a URL's path, in characters that every file system allows. The service judges invalid URLs. */
function nameOf(url: string): string {
  const { pathname, hostname } = URL.canParse(url) ? new URL(url) : { pathname: "", hostname: "invalid" };
  const last = pathname.split("/").findLast((part) => part !== "") ?? hostname;
  return last.replaceAll(/[^A-Za-z0-9._-]+/g, "_").slice(-NAME_LENGTH_MAX);
}
