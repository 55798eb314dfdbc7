import type { HeaderFields } from "../../../http/message/header-fields.ts";
import { base64OfHex, md5Hex } from "../../../std/digest.ts";
import type { ChecksumSetting } from "../../checksum-setting.ts";
import { bareEtag, TOKEN_HEADER } from "../metadata.ts";
import { S3Failure } from "./s3-failure.ts";

export type Checksum = Exclude<ChecksumSetting, "auto">;

/** AWS returns this header to an upload that carried it: the server has computed the checksum itself. */
export const SHA256_HEADER = "x-amz-checksum-sha256";

const MD5_ETAG = /^[0-9a-f]{32}$/i;

/** Digests of bytes that are sent whole. */
export interface BodyDigests {
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
  readonly sha256Base64: string;
  /** Hex; 14.6 µs for 10 KiB, so only where the server leaves no other proof. */
  md5(): string;
}

export function digestsOf(body: Uint8Array, sha256: string): BodyDigests {
  let md5: string | undefined;
  return {
    bytes: body.byteLength,
    sha256,
    sha256Base64: base64OfHex(sha256),
    md5: () => (md5 ??= md5Hex(body)),
  };
}

/** Headers by which the server checks the received bytes: `Content-MD5` (RFC 1864) or AWS's of SHA-256. */
export function checksumHeaders(checksum: Checksum, digests: BodyDigests): Record<string, string> {
  if (checksum === "sha256") return { [SHA256_HEADER]: digests.sha256Base64 };
  if (checksum === "md5") return { "content-md5": base64OfHex(digests.md5()) };
  return {};
}

/**
 * Whether the server returned the SHA-256 that was sent, in base64.
 * @throws S3Failure UPLOAD_CORRUPT where it returned another one
 */
export function hasSha256(headers: HeaderFields, sent: string): boolean {
  const returned = headers.get(SHA256_HEADER);
  if (returned === undefined || returned === sent) return returned !== undefined;
  throw corrupt("S3 computed another SHA-256 of the body than was sent");
}

/** Whether an ETag is the MD5 of the sent bytes; `undefined` where it does not look like an MD5. Computes the MD5. */
export function isItsMd5(headers: HeaderFields, digests: BodyDigests): boolean | undefined {
  const etag = bareEtag(headers.get("etag"));
  if (!MD5_ETAG.test(etag) || isEncrypted(headers)) return undefined;
  return etag.toLowerCase() === digests.md5();
}

export function otherMd5({ bytes }: BodyDigests): S3Failure {
  const hint = 'if the ETags of this service are no MD5, set storage.checksum = "none"';
  return corrupt(`the ETag of the copy is not the MD5 of the ${bytes} bytes that were sent; ${hint}`);
}

/** The ETag of an object that is encrypted with a key of KMS or of the customer is no MD5 of its bytes. */
function isEncrypted(headers: HeaderFields): boolean {
  const by = headers.get("x-amz-server-side-encryption");
  return (
    by?.startsWith("aws:kms") === true || headers.get(`x-amz-server-side-encryption-customer-algorithm`) !== undefined
  );
}

/** Whether an object carries the token of the upload that sent these headers, so that the upload made it. */
export function isMadeBy(sent: Readonly<Record<string, string>>, found: HeaderFields): boolean {
  return sent[TOKEN_HEADER] !== undefined && found.get(TOKEN_HEADER) === sent[TOKEN_HEADER];
}

/** The copy has other bytes than were sent. Another try may succeed. */
export function corrupt(message: string): S3Failure {
  return new S3Failure("UPLOAD_CORRUPT", message, {});
}
