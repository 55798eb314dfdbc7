import { randomUUID } from "node:crypto";
import type { ObjectRef, StoredObject } from "../jobs/object-store.ts";
import { cleanUp } from "./clean-up.ts";
import type { S3Client } from "./client.ts";
import { isMadeBy } from "./copy-checks.ts";
import { bareEtag, TOKEN_HEADER } from "./metadata.ts";
import { S3Failure } from "./s3-failure.ts";

/**
 * Finds out how an upload ended whose last answer got lost. Every upload carries a token of its own as
 * metadata; what lies under the key with that token is it.
 */
export interface Receipt {
  readonly headers: Readonly<Record<string, string>>;
  /** The object, if it is ours that is visible now; or nothing. Throws where that cannot be found out. */
  find(signal: AbortSignal): Promise<StoredObject | undefined>;
  /** Removes the object, if it is ours that is visible. Never throws. */
  withdraw(): Promise<void>;
}

export function createReceipt(client: S3Client, ref: ObjectRef, token: string = randomUUID()): Receipt {
  const { bucket, key } = ref;

  async function find(signal: AbortSignal): Promise<StoredObject | undefined> {
    try {
      const { headers } = await client.exchange({ method: "HEAD", bucket, key }, signal);
      if (headers.get(TOKEN_HEADER) !== token) return undefined;
      const bytes = Number(headers.get("content-length"));
      return { bytes, etag: bareEtag(headers.get("etag")), provenBy: "size" };
    } catch (error) {
      if (error instanceof S3Failure && error.httpStatus === 404) return undefined;
      throw error;
    }
  }

  async function withdraw(): Promise<void> {
    await cleanUp((signal) =>
      client.retrying(async () => {
        if ((await find(signal)) === undefined) return;
        await client.exchange({ method: "DELETE", bucket, key }, signal);
      }, signal),
    );
  }

  return { headers: { [TOKEN_HEADER]: token }, find, withdraw };
}

/** Removes an object that an upload stored with these headers, if it is still the visible one. Never throws. */
export function removeCopy(client: S3Client, { bucket, key }: ObjectRef, sent: Readonly<Record<string, string>>) {
  return cleanUp(async (signal) => {
    const { headers } = await client.exchange({ method: "HEAD", bucket, key }, signal);
    if (isMadeBy(sent, headers)) await client.exchange({ method: "DELETE", bucket, key }, signal);
  });
}

/** Removes the object if it carries one of these tokens; says whether it did. */
export async function removeUploaded(
  client: S3Client,
  { bucket, key }: ObjectRef,
  tokens: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<boolean> {
  const found = await client.retrying(() => tokenUnder(client, { bucket, key }, signal), signal);
  if (found === undefined || !tokens.has(found)) return false;
  await client.retrying(() => client.exchange({ method: "DELETE", bucket, key }, signal), signal);
  return true;
}

async function tokenUnder(
  client: S3Client,
  { bucket, key }: ObjectRef,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const { headers } = await client.exchange({ method: "HEAD", bucket, key }, signal);
    return headers.get(TOKEN_HEADER);
  } catch (error) {
    if (error instanceof S3Failure && error.httpStatus === 404) return undefined;
    throw error;
  }
}
