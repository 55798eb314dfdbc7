import {
  encodeObjectTags,
  MANIFEST_METADATA_BYTES_MAX,
  metadataBytes,
  metadataNameProblem,
  OBJECT_TAGS_BYTES_MAX,
  OBJECT_TAGS_MAX,
  objectTagProblem,
} from "../../jobs/object-attributes.ts";
import { pathProblem, reservedProblem, SEGMENT_BYTES_MAX } from "../../jobs/object-key.ts";
import { headerNameProblem, headerValueProblem, isHeaderName, REQUEST_HEADERS_MAX } from "../../net/request-header.ts";
import { pointerStep } from "../../std/quote.ts";

/**
 * What the single values of a manifest, or of a handler's task, must look like (contract, section 1). Each function
 * says what is wrong, or nothing. Characters are code points, as a client counts them.
 */
export const ID_CHARACTERS_MAX = 128;
export const PREFIX_BYTES_MAX = 512;
export const URL_CHARACTERS_MAX = 2048;
export const TAGS_MAX = 64;
const TAG_NAME_CHARACTERS_MAX = 128;
const TAG_VALUE_BYTES_MAX = 1024;

/** Tells of a breach at a step or steps below the map that is looked at; "" is the map itself. */
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

/** `deniesLiteral` judges a host that is written as an address; names are judged when they are resolved. */
export function urlProblem(text: string, deniesLiteral: (url: URL) => string | undefined): string | undefined {
  if (hasMoreCharacters(text, URL_CHARACTERS_MAX)) return `must be at most ${URL_CHARACTERS_MAX} characters`;
  // The parser would drop some of them without a word (WHATWG URL, 4.4), and then it is another URL.
  if (/[\s\p{Cc}]/u.test(text)) return "must not contain spaces or control characters; percent-encode them";
  // The parser would also take http:host and http:///host, and a backslash for a slash.
  if (!/^https?:\/\/[^/\\?#]/i.test(text)) return "must be an absolute http: or https: URL";
  const url = URL.parse(text);
  if (url === null) return "is not a valid URL";
  const reason = deniesLiteral(url);
  return reason === undefined
    ? undefined
    : `must not point to an address that downloads may not connect to (${reason})`;
}

export function checksumProblem(checksum: string): string | undefined {
  const isChecksum = /^(?:sha256:[0-9a-fA-F]{64}|sha1:[0-9a-fA-F]{40}|md5:[0-9a-fA-F]{32})$/.test(checksum);
  return isChecksum ? undefined : "must be sha256: and 64, sha1: and 40, or md5: and 32 hexadecimal digits";
}

/** The digest of a valid checksum in lower case. */
export function normalChecksum(checksum: string): string {
  return checksum.toLowerCase();
}

export function checkHeaders(headers: object, report: Report, max = REQUEST_HEADERS_MAX): void {
  const entries = Object.entries(headers);
  if (entries.length > max) return report("", `must be at most ${max} headers, are ${entries.length}`);
  const names = new Set<string>();
  for (const [at, [name, value]] of entries.entries()) {
    const nameProblem = headerNameProblem(name);
    // Somebody may have put a whole header line, with its secret, where the name should be: do not repeat it.
    if (nameProblem !== undefined) report(headerStep(name), `name ${at + 1}: ${nameProblem}`);
    else if (names.has(name.toLowerCase())) report(headerStep(name), "is there twice; letter case does not matter");
    names.add(name.toLowerCase());
    const problem = typeof value === "string" ? headerValueProblem(value) : undefined;
    if (problem !== undefined) report(headerStep(name), problem);
  }
}

/** The step to a header in a JSON pointer; none if the name is none, because it may be secret. */
function headerStep(name: string): string {
  return isHeaderName(name) ? pointerStep(name) : "";
}

export function checkTags(tags: object, report: Report): void {
  const entries = Object.entries(tags);
  if (entries.length > TAGS_MAX) return report("", `must be at most ${TAGS_MAX} tags, are ${entries.length}`);
  for (const [name, value] of entries) {
    if (name === "" || hasMoreCharacters(name, TAG_NAME_CHARACTERS_MAX)) {
      report(pointerStep(name), `must have a name of 1 to ${TAG_NAME_CHARACTERS_MAX} characters`);
    }
    // No object in JavaScript can be trusted to keep a member of this name.
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
    report("", `must be at most ${MANIFEST_METADATA_BYTES_MAX} bytes, names and encoded values together, is ${bytes}`);
  }
}

export function checkObjectTags(tags: object, report: Report): void {
  const texts = Object.entries(tags).filter((entry): entry is [string, string] => typeof entry[1] === "string");
  if (texts.length > OBJECT_TAGS_MAX) return report("", `must be at most ${OBJECT_TAGS_MAX} tags, are ${texts.length}`);
  for (const [name, value] of texts) {
    const problem = objectTagProblem(name, value);
    if (problem !== undefined) report(pointerStep(name), problem);
  }
  if (encodeObjectTags(Object.fromEntries(texts)).length > OBJECT_TAGS_BYTES_MAX) {
    report("", `must be at most ${OBJECT_TAGS_BYTES_MAX} bytes, percent-encoded`);
  }
}

function hasMoreCharacters(text: string, max: number): boolean {
  // A code point has one or two units of UTF-16.
  if (text.length <= max) return false;
  return text.length > 2 * max || Array.from(text).length > max;
}
