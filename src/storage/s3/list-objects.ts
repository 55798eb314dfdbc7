import type { ObjectInfo, ObjectRef, OpenUpload } from "../../jobs/object-store.ts";
import { percentDecoded } from "../../net/percent-decoded.ts";
import type { S3Client } from "./client/s3-client.ts";
import { elementsOf, textOf } from "./client/xml.ts";
import { bareEtag } from "./metadata.ts";

export const PAGE_KEYS = 1000;

/** A page of a listing. */
export interface ObjectPage {
  readonly objects: readonly Omit<ObjectInfo, "bucket" | "labels">[];
  /** S3's token for the next page; `undefined` for the last page. Any client may use it. */
  readonly next: string | undefined;
}

interface PageRequest {
  readonly bucket: string;
  readonly prefix: string;
  readonly token: string | undefined;
}

export type AskPage = (request: PageRequest, signal: AbortSignal) => Promise<ObjectPage>;

/** Everything under a prefix, in the order of UTF-8 bytes, a page of 1000 at a time. */
export async function* listObjects(ask: AskPage, { bucket, prefix }: Omit<PageRequest, "token">, signal: AbortSignal) {
  for (let token: string | undefined; ; ) {
    const page = await ask({ bucket, prefix, token }, signal);
    yield* page.objects;
    token = page.next;
    if (token === undefined) return;
  }
}

/** Asks for pages with our own client. */
export function ownPages(client: S3Client): AskPage {
  return async ({ bucket, prefix, token }, signal) => {
    const query = {
      "list-type": "2",
      prefix,
      "max-keys": String(PAGE_KEYS),
      "encoding-type": "url",
      ...(token === undefined ? {} : { "continuation-token": token }),
    };
    const { text } = await client.retrying(() => client.exchange({ method: "GET", bucket, query }, signal), signal);
    const isEncoded = textOf(text, "EncodingType") === "url";
    const objects = [...elementsOf(text, "Contents")].map((element) => ({
      key: keyIn(element, isEncoded),
      bytes: Number(textOf(element, "Size")),
      etag: bareEtag(textOf(element, "ETag")),
    }));
    const isTruncated = textOf(text, "IsTruncated") === "true";
    return { objects, next: isTruncated ? textOf(text, "NextContinuationToken") : undefined };
  };
}

/** All uploads that are open in a bucket, a page of 1000 at a time. */
export async function* listUploads(client: S3Client, bucket: string, signal: AbortSignal): AsyncGenerator<OpenUpload> {
  let marker: Record<string, string> = {};
  for (;;) {
    const query = { uploads: "", "max-uploads": String(PAGE_KEYS), ...marker };
    const { text } = await client.retrying(() => client.exchange({ method: "GET", bucket, query }, signal), signal);
    for (const element of elementsOf(text, "Upload")) {
      yield { bucket, key: keyIn(element, false), uploadId: textOf(element, "UploadId") ?? "" };
    }
    const [keyMarker, idMarker] = [textOf(text, "NextKeyMarker"), textOf(text, "NextUploadIdMarker")];
    if (textOf(text, "IsTruncated") !== "true" || keyMarker === undefined) return;
    marker = { "key-marker": keyMarker, ...(idMarker !== undefined && { "upload-id-marker": idMarker }) };
  }
}

/** Ids of the open uploads of exactly this key: at most the first 1000. */
export async function openUploadsOf(client: S3Client, { bucket, key }: ObjectRef, signal: AbortSignal) {
  // Without encoding-type: Ceph obeys it here without naming it in its answer.
  const query = { uploads: "", prefix: key };
  const { text } = await client.retrying(() => client.exchange({ method: "GET", bucket, query }, signal), signal);
  return [...elementsOf(text, "Upload")]
    .filter((element) => keyIn(element, false) === key)
    .flatMap((element) => textOf(element, "UploadId") ?? []);
}

function keyIn(element: string, isEncoded: boolean): string {
  return keyAsListed(textOf(element, "Key") ?? "", isEncoded);
}

/** A key as a listing has it. Some servers write a space as "+", as a form does; a real one always comes as "%2B". */
export function keyAsListed(key: string, isEncoded: boolean): string {
  return isEncoded ? percentDecoded(key.replaceAll("+", " ")) : key;
}
