import { escapeXml } from "./xml.ts";

export interface CompletedPart {
  /** Without quotes. */
  readonly etag: string;
  /** Base64, where the server returned it: one that ignored the header refuses the completion for it (Swift). */
  readonly sha256?: string | undefined;
}

/** The body of the request that completes a multipart upload, its parts in order. */
export function completionBody(parts: readonly CompletedPart[]): Buffer {
  const elements = parts.map(({ etag, sha256 }, i) => {
    const checksum = sha256 === undefined ? "" : `<ChecksumSHA256>${sha256}</ChecksumSHA256>`;
    return `<Part><PartNumber>${i + 1}</PartNumber><ETag>"${escapeXml(etag)}"</ETag>${checksum}</Part>`;
  });
  return Buffer.from(`<CompleteMultipartUpload>${elements.join("")}</CompleteMultipartUpload>`);
}
