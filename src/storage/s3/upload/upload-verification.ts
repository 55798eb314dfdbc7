import { randomUUID } from "node:crypto";
import type { HeaderFields } from "../../../http/message/header-fields.ts";
import type { ObjectRef, StoredObject } from "../../../jobs/object-store.ts";
import { cleanUp } from "../clean-up.ts";
import type { S3Client } from "../client/s3-client.ts";
import { S3Failure } from "../client/s3-failure.ts";
import { bareEtag, TOKEN_HEADER } from "../metadata.ts";

/**
 * Finds the object of an upload whose last response was lost. Every upload carries a token of its own as metadata: an
 * object under the key with that token is the upload's.
 */
export class UploadVerification {
  /** The token, as a header of the upload. */
  readonly headers: Readonly<Record<string, string>>;
  readonly #client: S3Client;
  readonly #ref: ObjectRef;
  readonly #token: string;

  constructor(client: S3Client, ref: ObjectRef, token: string = randomUUID()) {
    this.#client = client;
    this.#ref = ref;
    this.#token = token;
    this.headers = { [TOKEN_HEADER]: token };
  }

  /** The object, where this upload made the visible one; else `undefined`. Throws where S3 does not answer that. */
  async find(signal: AbortSignal): Promise<StoredObject | undefined> {
    const headers = await headersUnder(this.#client, this.#ref, signal);
    if (headers?.get(TOKEN_HEADER) !== this.#token) return undefined;
    const bytes = Number(headers.get("content-length"));
    return { bytes, etag: bareEtag(headers.get("etag")), provenBy: "size" };
  }

  /** Removes the object where this upload made the visible one. Never throws. */
  withdraw(): Promise<void> {
    return withdrawUploaded(this.#client, this.#ref, this.#token);
  }
}

/** Removes the object that an upload with this token stored, if it is the visible one. Never throws. */
export async function withdrawUploaded(client: S3Client, ref: ObjectRef, token: string): Promise<void> {
  await cleanUp((signal) => removeUploaded(client, ref, new Set([token]), signal));
}

/** Removes the object if it carries one of these tokens; true where it did. */
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
