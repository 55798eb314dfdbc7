import {
  encodeObjectTags,
  MANIFEST_METADATA_BYTES_MAX,
  metadataBytes,
  metadataNameProblem,
  OBJECT_TAGS_BYTES_MAX,
  OBJECT_TAGS_MAX,
  objectTagProblem,
} from "../../jobs/object-attributes.ts";
import { pathProblem, SEGMENT_BYTES_MAX } from "../../jobs/object-key.ts";
import { reservedProblem } from "../../jobs/storage-keys.ts";
import { headerNameProblem, headerValueProblem, isHeaderName, REQUEST_HEADERS_MAX } from "../../net/request-header.ts";
import { pointerStep } from "../../std/quote.ts";

// Rules for single values of a manifest, or of a handler's task. Each function returns the violated rule, or
// `undefined`. Characters are code points, as clients count them.

export const ID_CHARACTERS_MAX = 128;
export const PREFIX_BYTES_MAX = 512;
export const URL_CHARACTERS_MAX = 2048;
export const TAGS_MAX = 64;
export const TAG_NAME_CHARACTERS_MAX = 128;
export const TAG_VALUE_BYTES_MAX = 1024;

/** Reports a violation at a path below the map; "" is the map itself. */
type Report = (below: string, message: string) => void;

export function idProblem(id: string): string | undefined {
  if (hasMoreCharacters(id, ID_CHARACTERS_MAX)) return `must be at most ${ID_CHARACTERS_MAX} characters`;
  if (Buffer.byteLength(id) > SEGMENT_BYTES_MAX) return `must be at most ${SEGMENT_BYTES_MAX} bytes of UTF-8`;
  return pathProblem(id);
}

export function keyPrefixProblem(prefix: string): string | undefined {
  if (prefix.length > PREFIX_BYTES_MAX || Buffer.byteLength(prefix) > PREFIX_BYTES_MAX) {
    return `must be at most ${PREFIX_BYTES_MAX} bytes of UTF-8`;
  }
  if (!prefix.endsWith("/")) return "must end in '/'";
  return prefix === "/" ? "must not be '/' alone" : (pathProblem(prefix.slice(0, -1)) ?? reservedProblem(prefix));
}

export function manifestFileProblem(name: string): string | undefined {
  if (name.length > SEGMENT_BYTES_MAX || Buffer.byteLength(name) > SEGMENT_BYTES_MAX) {
    return `must be at most ${SEGMENT_BYTES_MAX} bytes of UTF-8`;
  }
  return name.includes("/") ? "must be one segment, without '/'" : pathProblem(name);
}

/** `deniesLiteral` checks a host that is an IP address; names are checked when they are resolved. */
export function urlProblem(text: string, deniesLiteral: (url: URL) => string | undefined): string | undefined {
  if (hasMoreCharacters(text, URL_CHARACTERS_MAX)) return `must be at most ${URL_CHARACTERS_MAX} characters`;
  // The parser would silently drop some of them (WHATWG URL, section 4.4), and the result would be another URL.
  if (/[\s\p{Cc}]/u.test(text)) return "must not contain spaces or control characters; percent-encode them";
  // The parser would also accept http:host and http:///host, and read a backslash as a slash.
  if (!/^https?:\/\/[^/\\?#]/i.test(text)) return "must be an absolute http: or https: URL";
  const url = URL.parse(text);
  if (url === null) return "is not a valid URL";
  const reason = deniesLiteral(url);
  return reason === undefined ? undefined : `must not point to an address that the egress policy denies (${reason})`;
}

export function checksumProblem(checksum: string): string | undefined {
  const isChecksum = /^(?:sha256:[0-9a-fA-F]{64}|sha1:[0-9a-fA-F]{40}|md5:[0-9a-fA-F]{32})$/.test(checksum);
  if (isChecksum) return undefined;
  return "must be sha256: with 64, sha1: with 40, or md5: with 32 hexadecimal digits";
}

/** The digest of a valid checksum in lower case. */
export function normalChecksum(checksum: string): string {
  return checksum.toLowerCase();
}

export function checkHeaders(headers: object, report: Report, max = REQUEST_HEADERS_MAX): void {
  const entries = Object.entries(headers);
  if (entries.length > max) return report("", `must have at most ${max} headers, has ${entries.length}`);
  const names = new Set<string>();
  for (const [at, [name, value]] of entries.entries()) {
    const nameProblem = headerNameProblem(name);
    // The name may be a whole header line with a secret value: the message must not repeat it.
    if (nameProblem !== undefined) report(headerStep(name), `name ${at + 1}: ${nameProblem}`);
    else if (names.has(name.toLowerCase())) report(headerStep(name), "is a duplicate; letter case does not matter");
    names.add(name.toLowerCase());
    const problem = typeof value === "string" ? headerValueProblem(value) : undefined;
    if (problem !== undefined) report(headerStep(name), problem);
  }
}

/** The step to a header in a JSON pointer; empty for an invalid name, because it may be secret. */
function headerStep(name: string): string {
  return isHeaderName(name) ? pointerStep(name) : "";
}

export function checkTags(tags: object, report: Report): void {
  const entries = Object.entries(tags);
  if (entries.length > TAGS_MAX) return report("", `must have at most ${TAGS_MAX} tags, has ${entries.length}`);
  for (const [name, value] of entries) {
    if (name === "" || hasMoreCharacters(name, TAG_NAME_CHARACTERS_MAX)) {
      report(pointerStep(name), `must have a name of 1 to ${TAG_NAME_CHARACTERS_MAX} characters`);
    }
    // Not every object in JavaScript keeps a member of this name.
    if (name === "__proto__") report(pointerStep(name), "must have another name");
    if (
      typeof value === "string" &&
      (value.length > TAG_VALUE_BYTES_MAX || Buffer.byteLength(value) > TAG_VALUE_BYTES_MAX)
    ) {
      report(pointerStep(name), `must be at most ${TAG_VALUE_BYTES_MAX} bytes of UTF-8`);
    }
  }
}

export function checkMetadata(metadata: object, report: Report): void {
  const texts = Object.entries(metadata).filter((entry): entry is [string, string] => typeof entry[1] === "string");
  for (const [name] of texts) {
    const problem = metadataNameProblem(name);
    if (problem !== undefined) report(pointerStep(name), problem);
  }
  const bytes = metadataBytes(Object.fromEntries(texts));
  if (bytes > MANIFEST_METADATA_BYTES_MAX) {
    report("", `must have at most ${MANIFEST_METADATA_BYTES_MAX} bytes of names and encoded values, has ${bytes}`);
  }
}

export function checkObjectTags(tags: object, report: Report): void {
  const texts = Object.entries(tags).filter((entry): entry is [string, string] => typeof entry[1] === "string");
  if (texts.length > OBJECT_TAGS_MAX)
    return report("", `must have at most ${OBJECT_TAGS_MAX} tags, has ${texts.length}`);
  for (const [name, value] of texts) {
    const problem = objectTagProblem(name, value);
    if (problem !== undefined) report(pointerStep(name), problem);
  }
  if (encodeObjectTags(Object.fromEntries(texts)).length > OBJECT_TAGS_BYTES_MAX) {
    report("", `must have at most ${OBJECT_TAGS_BYTES_MAX} bytes when percent-encoded`);
  }
}

function hasMoreCharacters(text: string, max: number): boolean {
  // A code point has one or two UTF-16 code units.
  if (text.length <= max) return false;
  return text.length > 2 * max || Array.from(text).length > max;
}
