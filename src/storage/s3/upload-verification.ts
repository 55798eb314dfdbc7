import { randomUUID } from "node:crypto";
import type { HeaderFields } from "../../http/message/header-fields.ts";
import type { ObjectRef, StoredObject } from "../../jobs/object-store.ts";
import { cleanUp } from "./clean-up.ts";
import type { S3Client } from "./client/s3-client.ts";
import { S3Failure } from "./client/s3-failure.ts";
import { bareEtag, TOKEN_HEADER } from "./metadata.ts";

/**
 * Finds out how an upload ended whose last answer got lost. Every upload carries a token of its own as
 * metadata; what lies under the key with that token is it.
 */
export interface UploadVerification {
  readonly headers: Readonly<Record<string, string>>;
  /** The object, if it is ours that is visible now; or nothing. Throws where that cannot be found out. */
  find(signal: AbortSignal): Promise<StoredObject | undefined>;
  /** Removes the object, if it is ours that is visible. Never throws. */
  withdraw(): Promise<void>;
}

export function createUploadVerification(
  client: S3Client,
  ref: ObjectRef,
  token: string = randomUUID(),
): UploadVerification {
  async function find(signal: AbortSignal): Promise<StoredObject | undefined> {
    const headers = await headersUnder(client, ref, signal);
    if (headers?.get(TOKEN_HEADER) !== token) return undefined;
    const bytes = Number(headers.get("content-length"));
    return { bytes, etag: bareEtag(headers.get("etag")), provenBy: "size" };
  }

  const withdraw = () => withdrawUploaded(client, ref, token);

  return { headers: { [TOKEN_HEADER]: token }, find, withdraw };
}

/** Removes the object that an upload with this token stored, if it is the visible one. Never throws. */
export async function withdrawUploaded(client: S3Client, ref: ObjectRef, token: string): Promise<void> {
  await cleanUp((signal) => removeUploaded(client, ref, new Set([token]), signal));
}

/** Removes the object if it carries one of these tokens; says whether it did. */
export async function removeUploaded(
  client: S3Client,
  { bucket, key }: ObjectRef,
  tokens: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<boolean> {
  const headers = await client.retrying(() => headersUnder(client, { bucket, key }, signal), signal);
  if (!tokens.has(headers?.get(TOKEN_HEADER) ?? "")) return false;
  await client.retrying(() => client.exchange({ method: "DELETE", bucket, key }, signal), signal);
  return true;
}

async function headersUnder(
  client: S3Client,
  { bucket, key }: ObjectRef,
  signal: AbortSignal,
): Promise<HeaderFields | undefined> {
  try {
    return (await client.exchange({ method: "HEAD", bucket, key }, signal)).headers;
  } catch (error) {
    if (error instanceof S3Failure && error.httpStatus === 404) return undefined;
    throw error;
  }
}
