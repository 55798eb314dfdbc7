import type { OpenUpload } from "../jobs/object-store.ts";
import type { S3Client } from "./client.ts";
import { decoded } from "./metadata.ts";
import { elementsOf, textOf } from "./xml.ts";

const PAGE_KEYS = "1000";

/** Everything under a prefix, in the order of UTF-8 bytes, a page of 1000 at a time. */
export async function* listObjects(client: S3Client, bucket: string, prefix: string, signal: AbortSignal) {
  for (let token: string | undefined; ; ) {
    const query = {
      "list-type": "2",
      prefix,
      "max-keys": PAGE_KEYS,
      "encoding-type": "url",
      ...(token === undefined ? {} : { "continuation-token": token }),
    };
    const { text } = await client.retrying(() => client.exchange({ method: "GET", bucket, query }, signal), signal);
    const isEncoded = textOf(text, "EncodingType") === "url";
    for (const element of elementsOf(text, "Contents")) {
      yield { key: keyIn(element, isEncoded), bytes: Number(textOf(element, "Size")) };
    }
    token = textOf(text, "NextContinuationToken");
    if (token === undefined || textOf(text, "IsTruncated") !== "true") return;
  }
}

/** All uploads that are open in a bucket, a page of 1000 at a time. */
export async function* listUploads(client: S3Client, bucket: string, signal: AbortSignal): AsyncGenerator<OpenUpload> {
  let marker: Record<string, string> = {};
  for (;;) {
    const query = { uploads: "", "max-uploads": PAGE_KEYS, ...marker };
    const { text } = await client.retrying(() => client.exchange({ method: "GET", bucket, query }, signal), signal);
    for (const element of elementsOf(text, "Upload")) {
      yield { bucket, key: keyIn(element, false), uploadId: textOf(element, "UploadId") ?? "" };
    }
    const [keyMarker, idMarker] = [textOf(text, "NextKeyMarker"), textOf(text, "NextUploadIdMarker")];
    if (textOf(text, "IsTruncated") !== "true" || keyMarker === undefined) return;
    marker = { "key-marker": keyMarker, ...(idMarker !== undefined && { "upload-id-marker": idMarker }) };
  }
}

/** Ids of the uploads of exactly this key that are open: at most the first 1000. */
export async function openUploadsOf(client: S3Client, bucket: string, key: string, signal: AbortSignal) {
  // Without encoding-type: Ceph obeys it here, but does not say so in its answer.
  const query = { uploads: "", prefix: key };
  const { text } = await client.retrying(() => client.exchange({ method: "GET", bucket, query }, signal), signal);
  return [...elementsOf(text, "Upload")]
    .filter((element) => keyIn(element, false) === key)
    .flatMap((element) => textOf(element, "UploadId") ?? []);
}

// Some servers write a space as "+", as a form does; a real one always comes as "%2B".
function keyIn(element: string, isEncoded: boolean): string {
  const key = textOf(element, "Key") ?? "";
  return isEncoded ? decoded(key.replaceAll("+", " ")) : key;
}
