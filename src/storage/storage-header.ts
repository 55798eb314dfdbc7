import {
  METADATA_HEADER,
  metadataNameProblem,
  OBJECT_TAGS_MAX,
  objectTagProblem,
  storageClassProblem,
} from "../jobs/object-attributes.ts";

/** Rules for the headers that the configuration has sent to S3: those that users set, and no others. */

const WITH_EVERY_REQUEST: ReadonlySet<string> = new Set(["x-amz-expected-bucket-owner", "x-amz-request-payer"]);
const WITH_OBJECTS: ReadonlySet<string> = new Set([
  "cache-control",
  "content-disposition",
  "content-language",
  "expires",
  "x-amz-acl",
  "x-amz-grant-full-control",
  "x-amz-grant-read",
  "x-amz-grant-read-acp",
  "x-amz-grant-write",
  "x-amz-grant-write-acp",
  "x-amz-object-lock-legal-hold",
  "x-amz-object-lock-mode",
  "x-amz-object-lock-retain-until-date",
  "x-amz-server-side-encryption",
  "x-amz-server-side-encryption-aws-kms-key-id",
  "x-amz-server-side-encryption-bucket-key-enabled",
  "x-amz-server-side-encryption-context",
  "x-amz-storage-class",
  "x-amz-tagging",
]);
const VALUE_BYTES_MAX = 2048;

/** Whether a header goes with every request, and not only with those that make an object. */
export function goesWithEveryRequest(name: string): boolean {
  return WITH_EVERY_REQUEST.has(name.toLowerCase());
}

/** The same headers, named as they are signed and merged. */
export function lowerCaseNames(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

/** The reason why `storage.headers` must not have a header, without its value; or `undefined`. */
export function storageHeaderProblem(name: string, value: string): string | undefined {
  return storageHeaderNameProblem(name.toLowerCase()) ?? storageHeaderValueProblem(name.toLowerCase(), value);
}

function storageHeaderNameProblem(name: string): string | undefined {
  if (WITH_OBJECTS.has(name) || WITH_EVERY_REQUEST.has(name)) return undefined;
  if (name.startsWith(METADATA_HEADER)) return metadataNameProblem(name.slice(METADATA_HEADER.length));
  if (name.startsWith("x-amz-server-side-encryption-customer-")) {
    return "must not be set: keys of one's own (SSE-C) are not supported, use SSE-S3 or SSE-KMS";
  }
  const known = [...WITH_EVERY_REQUEST, ...WITH_OBJECTS].toSorted().join(", ");
  return `is not among the headers that can be set: ${METADATA_HEADER}* and ${known}`;
}

/** Only a value that every server spells alike can be signed: without spaces at its ends, and without two in a row. */
function storageHeaderValueProblem(name: string, value: string): string | undefined {
  if (!/^[!-~]+(?: [!-~]+)*$/.test(value)) {
    return "must be visible ASCII characters, with single spaces between them; encode others";
  }
  if (value.length > VALUE_BYTES_MAX) return `must be at most ${VALUE_BYTES_MAX} bytes`;
  if (name === "x-amz-storage-class") return storageClassProblem(value);
  return name === "x-amz-tagging" ? taggingProblem(value) : undefined;
}

/** A bad one would make S3 refuse every object, manifests too. */
function taggingProblem(value: string): string | undefined {
  const tags = [...new URLSearchParams(value)];
  const problem =
    tags.length > OBJECT_TAGS_MAX
      ? `at most ${OBJECT_TAGS_MAX} tags`
      : tags.map(([name, text]) => objectTagProblem(name, text)).find((each) => each !== undefined);
  return problem === undefined
    ? undefined
    : `must be tags like "project=gallery&stage=raw", percent-encoded: ${problem}`;
}
