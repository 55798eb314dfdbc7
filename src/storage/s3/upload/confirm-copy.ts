import type { HeaderFields } from "../../../http/message/header-fields.ts";
import type { ObjectRef, StoredObject } from "../../../jobs/object-store.ts";
import { numbered } from "../../../std/counted.ts";
import { base64OfHex } from "../../../std/digest.ts";
import { corrupt, isMadeBy, SHA256_HEADER } from "../client/copy-checks.ts";
import type { S3Client } from "../client/s3-client.ts";
import { S3Failure } from "../client/s3-failure.ts";
import type { ServerTraits } from "../client/server-traits.ts";
import { bareEtag, TOKEN_HEADER } from "../metadata.ts";

interface CopyToConfirm {
  readonly ref: ObjectRef;
  readonly bytes: number;
  /** Of the whole object in hex, where the server was given it. */
  readonly sha256?: string;
  /** The answers have proven the bytes already: then a denied look does no harm. */
  readonly isProven?: boolean;
  /** That the upload carried, metadata among them. */
  readonly headers: Readonly<Record<string, string>>;
  readonly traits: ServerTraits;
  readonly signal: AbortSignal;
}

/**
 * Looks at an object that was just stored, whose answer proved too little: its size and its metadata have to be ours.
 * @throws S3Failure UPLOAD_CORRUPT where it is another, UPLOAD_UNAVAILABLE where this is no S3 service,
 * UPLOAD_ACCESS_DENIED where a look is denied that is needed
 */
export async function confirmCopy(client: S3Client, copy: CopyToConfirm): Promise<StoredObject> {
  const { bytes, sha256, traits, isProven = false } = copy;
  const found = await look(client, copy);
  if (found === "denied") {
    if (!isProven) throw unproven(copy.ref.bucket);
    return { bytes, etag: "", provenBy: "checksum" };
  }
  const etag = bareEtag(found?.get("etag"));
  if (found === undefined || !isMadeBy(copy.headers, found)) {
    if (!traits.isS3) throw noS3(copy.ref.bucket);
    // Another upload to this key has ended meanwhile: its object is the visible one.
    if (found?.has(TOKEN_HEADER) === true) return { bytes, etag: "", provenBy: isProven ? "checksum" : "size" };
    throw corrupt("S3 answered that it has stored the object, but the object is not there");
  }
  traits.isS3 = true;
  const size = Number(found.get("content-length"));
  if (size !== bytes) throw corrupt(`S3 has stored ${numbered(size, "byte")} of the object instead of ${bytes}`);
  const checksum = found.get(SHA256_HEADER);
  if (sha256 === undefined || checksum === undefined) return { bytes, etag, provenBy: isProven ? "checksum" : "size" };
  if (checksum !== base64OfHex(sha256))
    throw corrupt("the SHA-256 of the stored object differs from that of the sent bytes");
  return { bytes, etag, provenBy: "checksum" };
}

async function look(client: S3Client, copy: CopyToConfirm): Promise<HeaderFields | "denied" | undefined> {
  const { bucket, key } = copy.ref;
  // A server that was given no SHA-256 may refuse the question for it (Backblaze B2).
  const headers = copy.sha256 === undefined ? {} : { "x-amz-checksum-mode": "ENABLED" };
  try {
    const ask = () => client.exchange({ method: "HEAD", bucket, key, headers }, copy.signal);
    return (await client.retrying(ask, copy.signal)).headers;
  } catch (error) {
    if (error instanceof S3Failure && error.httpStatus === 404) return undefined;
    if (error instanceof S3Failure && error.httpStatus === 403) return "denied";
    throw error;
  }
}

function unproven(bucket: string): S3Failure {
  const seen = `bucket ${bucket}: the storage's answers do not prove its copies, and a HEAD of them is denied`;
  return new S3Failure("UPLOAD_ACCESS_DENIED", `${seen}: give these credentials s3:GetObject`, {});
}

function noS3(bucket: string): S3Failure {
  const seen = `the endpoint of bucket ${bucket} answers as if it had stored objects, but they are missing`;
  const message = `${seen}: it is not an S3 service; check storage.endpoint`;
  return new S3Failure("UPLOAD_UNAVAILABLE", message, { mayConcernObject: true });
}
