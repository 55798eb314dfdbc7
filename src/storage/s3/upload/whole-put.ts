import type { ObjectRef, StoredObject, UploadTracking } from "../../../jobs/object-store.ts";
import { sha256Of } from "../../../std/digest.ts";
import { checksumHeaders, digestsOf } from "../client/copy-checks.ts";
import type { S3Answer, S3Client, S3Request } from "../client/s3-client.ts";
import type { ServerTraits } from "../client/server-traits.ts";
import { bareEtag } from "../metadata.ts";
import { confirmCopy } from "./confirm-copy.ts";

interface WholePut extends Pick<UploadTracking, "onProbe"> {
  readonly ref: ObjectRef;
  readonly body: Uint8Array;
  /** The body's SHA-256 in hex, where it is known. */
  readonly sha256?: string | undefined;
  /** With metadata that distinguishes this object from others. */
  readonly headers: Readonly<Record<string, string>>;
  readonly traits: ServerTraits;
  readonly signal: AbortSignal;
  /** Sends one request, within the caller's own steps. */
  readonly exchange: (request: S3Request) => Promise<S3Answer>;
}

/**
 * Stores bytes at hand by one PUT and proves the copy, in up to three tries. A copy that is something else is replaced
 * by the next try; after the last one (`UPLOAD_CORRUPT`) the caller removes it.
 */
export async function putWhole(client: S3Client, put: WholePut): Promise<StoredObject> {
  const { ref, body, headers, traits, signal } = put;
  const sha256 = put.sha256 ?? (await sha256Of(body));
  const digests = digestsOf(body, sha256);
  const { bytes } = digests;
  return client.retrying(async () => {
    const answer = await traits.withChecksum("whole", (checksum) => {
      const all = { ...headers, ...checksumHeaders(checksum, digests) };
      return put.exchange({ method: "PUT", bucket: ref.bucket, key: ref.key, headers: all, body, payloadHash: sha256 });
    });
    const etag = bareEtag(answer.headers.get("etag"));
    if (await traits.isProven(client, put, answer.headers, digests)) return { bytes, etag, provenBy: "checksum" };
    return confirmCopy(client, { ref, headers, bytes, traits, signal });
  }, signal);
}
