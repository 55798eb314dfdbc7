import type { HeaderFields } from "../../http/message/header-fields.ts";
import { Failure } from "../../jobs/failure.ts";
import {
  encodeMetadata,
  encodeObjectTags,
  LABEL_PREFIX,
  METADATA_HEADER,
  type ObjectAttributes,
  UPLOAD_TOKEN,
} from "../../jobs/object-attributes.ts";
import type { ObjectMeta } from "../../jobs/object-store.ts";
import { contentCodings } from "../../net/content-coding.ts";
import { MEDIA_TYPE_LENGTH_MAX } from "../../net/media-type.ts";
import { percentDecoded } from "../../net/percent-decoded.ts";

const LABEL = METADATA_HEADER + LABEL_PREFIX;
/** Distinguishes one upload from every other, also of the same task: an uncertain end is judged by it. */
export const TOKEN_HEADER = METADATA_HEADER + UPLOAD_TOKEN;

const UNKNOWN_TYPE = "application/octet-stream";

/** Headers that the configuration has stored with objects; lower-case names. */
export interface ConfiguredHeaders {
  readonly all: Readonly<Record<string, string>>;
  /** Those of some job types, which stand above the others. */
  readonly byJobType: ReadonlyMap<string, Readonly<Record<string, string>>>;
}

/** The headers of an object: those of its job take precedence over those of the configuration. */
export function objectHeaders(meta: ObjectMeta, configured?: ConfiguredHeaders): Record<string, string> {
  const headers = { ...configured?.all, ...configured?.byJobType.get(meta.jobType ?? "") };
  if (meta.attributes !== undefined) addAttributes(headers, meta.attributes);
  addMetadata(headers, meta);
  return headers;
}

function addAttributes(
  headers: Record<string, string>,
  { metadata = {}, tags, class: storageClass }: ObjectAttributes,
): void {
  for (const name in metadata) headers[METADATA_HEADER + name] = encodeMetadata(metadata[name] ?? "");
  if (tags !== undefined) headers["x-amz-tagging"] = encodeObjectTags(tags);
  if (storageClass !== undefined) headers["x-amz-storage-class"] = storageClass;
}

/** The headers without those of object lock: a locked object cannot be removed. */
export function withoutLocks(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith("x-amz-object-lock-")));
}

/** Adds the type and the codings of the bytes, and labels. Label names are of `a-z 0-9 -`; values are encoded. */
function addMetadata(headers: Record<string, string>, { contentType, contentEncoding, labels = {} }: ObjectMeta): void {
  headers["content-type"] = signableType(contentType);
  const codings = storableCodings(contentEncoding);
  if (codings !== undefined) headers["content-encoding"] = codings;
  for (const name in labels) {
    if (!/^[a-z0-9-]+$/.test(name)) throw new Failure("HANDLER_ERROR", `"${name}" cannot be the name of a label`);
    headers[LABEL + name] = encodeURIComponent(labels[name] ?? "");
  }
}

/** The labels that an object was stored with. */
export function labelsOf(headers: HeaderFields): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [name, value] of headers) {
    if (name.startsWith(LABEL)) labels[name.slice(LABEL.length)] = percentDecoded(value);
  }
  return labels;
}

/** An ETag without its quotes. */
export function bareEtag(etag: string | null | undefined): string {
  return (etag ?? "").replace(/^W\//, "").replaceAll('"', "");
}

// An origin may send any text as its type; only a text that every server spells alike can be signed.
function signableType(contentType: string): string {
  const type = contentType.trim().replace(/ +/g, " ");
  return type.length <= MEDIA_TYPE_LENGTH_MAX && /^[\x20-\x7e]+$/.test(type) ? type : UNKNOWN_TYPE;
}

// In a request `aws-chunked` describes the request itself: a server would unpack the body, or refuse it.
function storableCodings(contentEncoding: string | undefined): string | undefined {
  const codings = contentCodings(contentEncoding);
  return codings?.split(", ").includes("aws-chunked") === true ? undefined : codings;
}
