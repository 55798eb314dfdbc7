/** Rules for the data that an object has beside its bytes: metadata, tags and a storage class, as in S3. */

/** The attributes of the objects of a job's resources. A backend without attributes stores the bytes alone. */
export interface ObjectAttributes {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly tags?: Readonly<Record<string, string>>;
  readonly class?: string;
}

/** The beginning of the names of headers that carry metadata. */
export const METADATA_HEADER = "x-amz-meta-";
/**
 * Metadata that FetchBox sets itself: labels that name job and task, and the token that distinguishes one upload from
 * every other.
 */
export const LABEL_PREFIX = "fetchbox-";
export const UPLOAD_TOKEN = "upload-token";

/**
 * S3 takes 2048 bytes of metadata. A manifest and the configuration have shares of their own, so that a manifest that
 * is accepted by one installation is accepted by all; the other 256 bytes are for the metadata that FetchBox sets
 * itself.
 */
export const MANIFEST_METADATA_BYTES_MAX = 1536;
export const CONFIG_METADATA_BYTES_MAX = 256;

export const OBJECT_TAGS_MAX = 10;
const TAG_NAME_CHARACTERS_MAX = 128;
const TAG_VALUE_CHARACTERS_MAX = 256;
/** S3 refuses requests whose headers have more than 8 KiB; half of that is left for everything else. */
export const OBJECT_TAGS_BYTES_MAX = 4096;
const TAG_ALPHABET = /^[\p{L}\p{N}\p{Z}_.:/=+@-]*$/u;

/** The reason why an object's metadata cannot have a name, or `undefined`. */
export function metadataNameProblem(name: string): string | undefined {
  if (!/^[a-z0-9-]{1,128}$/.test(name)) return "must be named by 1 to 128 of a-z, 0-9 and '-'";
  if (name.startsWith(LABEL_PREFIX) || name === UPLOAD_TOKEN) return "must not be set: FetchBox sets it itself";
  return undefined;
}

/**
 * Metadata as a header can carry it: characters that are not visible ASCII become %XX, and so do `%`, and spaces that
 * servers drop. A `=?` would make S3 take the value for an encoded word (RFC 2047).
 */
export function encodeMetadata(value: string): string {
  return value.replace(/[^ -~]+|%|^ | $|(?<= ) |=(?=\?)/gu, (text) => encodeURIComponent(text));
}

/** How much of S3's limit some metadata takes: names and encoded values. */
export function metadataBytes(metadata: Readonly<Record<string, string>>): number {
  return Object.entries(metadata).reduce((sum, [name, value]) => sum + name.length + encodeMetadata(value).length, 0);
}

/** The reason why an object cannot have a tag, or `undefined`. S3 counts characters as UTF-16 does. */
export function objectTagProblem(name: string, value: string): string | undefined {
  if (name === "" || name.length > TAG_NAME_CHARACTERS_MAX) {
    return `must have a name of 1 to ${TAG_NAME_CHARACTERS_MAX} characters`;
  }
  // No object in JavaScript can be trusted to keep a member of the one name; the other names are Amazon's own.
  if (name === "__proto__" || /^aws:/i.test(name)) return "must have another name";
  if (!TAG_ALPHABET.test(name)) return "must be named by letters, digits, spaces and + - = . _ : / @ alone";
  if (value.length > TAG_VALUE_CHARACTERS_MAX) return `must be at most ${TAG_VALUE_CHARACTERS_MAX} characters`;
  if (!TAG_ALPHABET.test(value)) return "must be of letters, digits, spaces and + - = . _ : / @ alone";
  return undefined;
}

/** Tags as the header `x-amz-tagging` has them. */
export function encodeObjectTags(tags: Readonly<Record<string, string>>): string {
  return Object.entries(tags)
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
    .join("&");
}

/** The reason why a text is no storage class, or `undefined`. Services have classes of their own beside Amazon's. */
export function storageClassProblem(name: string): string | undefined {
  if (/^[A-Z0-9_]{1,32}$/.test(name)) return undefined;
  return "must be a storage class like \"STANDARD_IA\": 1 to 32 of A-Z, 0-9 and '_'";
}
