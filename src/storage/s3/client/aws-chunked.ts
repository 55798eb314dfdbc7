import type { BodySource } from "../../../http/message/outgoing-body.ts";
import { base64OfHex } from "../../../std/digest.ts";
import { SHA256_HEADER } from "./copy-checks.ts";
import type { StreamedBody } from "./s3-client.ts";

/** All chunks but the last one have this size (S3: 8 KiB at least; MinIO: 16 MiB at most): 1 MiB. */
const CHUNK_BYTES = 1024 * 1024;
/** The value of `x-amz-content-sha256` for such a body. */
const UNSIGNED_WITH_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const SHA256_BASE64_CHARS = 44;

interface TrailerBody {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: StreamedBody;
  readonly payloadHash: string;
}

/**
 * A body with its SHA-256 behind it, for one that is not known before.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
 * `sha256` (hex) is called once all of the source has been read. `bytes` is exact. `headers` are the object's.
 */
export function trailerBody(
  bytes: number,
  source: BodySource,
  sha256: () => string,
  headers: Readonly<Record<string, string>> = {},
): TrailerBody {
  const coding = headers["content-encoding"];
  return {
    headers: {
      ...headers,
      // S3 takes its own coding off before it keeps the others.
      "content-encoding": coding === undefined ? "aws-chunked" : `aws-chunked,${coding}`,
      "x-amz-decoded-content-length": String(bytes),
      "x-amz-trailer": SHA256_HEADER,
    },
    payloadHash: UNSIGNED_WITH_TRAILER,
    body: { bytes: encodedBytes(bytes), source: new ChunkedSource(bytes, source, sha256) },
  };
}

function encodedBytes(bytes: number): number {
  const last = bytes % CHUNK_BYTES;
  const whole = Math.floor(bytes / CHUNK_BYTES) * (frameOf(CHUNK_BYTES).length + 2 + CHUNK_BYTES);
  const rest = last === 0 ? 0 : frameOf(last).length + 2 + last;
  return whole + rest + "0\r\n".length + SHA256_HEADER.length + 1 + SHA256_BASE64_CHARS + "\r\n\r\n".length;
}

function frameOf(bytes: number): string {
  return `${bytes.toString(16)}\r\n`;
}

class ChunkedSource implements BodySource {
  readonly #source: BodySource;
  readonly #sha256: () => string;
  /** Bytes of the body that are in no chunk yet. */
  #left: number;
  /** Bytes that the present chunk still has room for. */
  #room = 0;
  #rest: Uint8Array | undefined;
  #state: "first" | "chunks" | "over" = "first";

  constructor(bytes: number, source: BodySource, sha256: () => string) {
    this.#left = bytes;
    this.#source = source;
    this.#sha256 = sha256;
  }

  async next(): Promise<Uint8Array | undefined> {
    if (this.#state === "over") return undefined;
    if (this.#room === 0) {
      const end = this.#state === "first" ? "" : "\r\n";
      this.#state = "chunks";
      return Buffer.from(end + (await this.#nextFrame()));
    }
    this.#rest ??= await this.#source.next();
    // A source that ends early ends the request: the body is shorter than its head declares.
    if (this.#rest === undefined) return undefined;
    const piece = this.#rest.subarray(0, this.#room);
    this.#room -= piece.byteLength;
    this.#rest = piece.byteLength === this.#rest.byteLength ? undefined : this.#rest.subarray(piece.byteLength);
    return piece;
  }

  async #nextFrame(): Promise<string> {
    this.#room = Math.min(this.#left, CHUNK_BYTES);
    this.#left -= this.#room;
    if (this.#room > 0) return frameOf(this.#room);
    // At the source's end the digest is complete.
    await this.#source.next();
    this.#state = "over";
    return `0\r\n${SHA256_HEADER}:${base64OfHex(this.#sha256())}\r\n\r\n`;
  }
}
