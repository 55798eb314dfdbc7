import { promisify } from "node:util";
import zlib from "node:zlib";
import { numbered } from "../std/counted.ts";
import type { HeldBytes } from "./body-memory.ts";
import { IntakeError } from "./intake-error.ts";

const gunzip = promisify(zlib.gunzip);

interface ReadBodyOptions {
  /** The request's Content-Encoding, `null` if it has none. */
  readonly contentEncoding: string | null;
  /** Limit for the decompressed bytes. */
  readonly limitBytes: number;
  readonly signal: AbortSignal;
  /** Counts all bytes in memory, compressed ones too. An error of `add` ends the reading. */
  readonly held?: HeldBytes | undefined;
}

/**
 * The decoded bytes of a request's body. It never holds more than the limit of them, nor many more compressed bytes.
 * @throws IntakeError UNSUPPORTED_MEDIA_TYPE for a coding other than gzip, PAYLOAD_TOO_LARGE over the limit,
 *   INVALID_PAYLOAD for invalid gzip or a body that ends early; the signal's reason if that aborts
 */
export async function readBody(body: ReadableStream<Uint8Array> | null, options: ReadBodyOptions): Promise<Uint8Array> {
  const { contentEncoding, limitBytes, signal } = options;
  const coding = (contentEncoding ?? "identity").trim().toLowerCase();
  if (coding !== "identity" && coding !== "gzip") {
    throw new IntakeError("UNSUPPORTED_MEDIA_TYPE", "Content-Encoding must be gzip or identity");
  }
  signal.throwIfAborted();
  if (body === null) return new Uint8Array(0);
  if (coding === "identity") return await readAll(body, limitBytes, options);

  // Incompressible data grows: 5 bytes per block (RFC 1951, section 3.2.4) and 18 per file (RFC 1952, section 2.3).
  const compressedMax = limitBytes + Math.ceil(limitBytes / 100) + 1024;
  const compressed = await readAll(body, compressedMax, options);
  const unpacked = await unpack(compressed, limitBytes);
  options.held?.add(unpacked.byteLength);
  signal.throwIfAborted();
  return unpacked;
}

async function unpack(compressed: Uint8Array, limitBytes: number): Promise<Uint8Array> {
  try {
    // zlib reads 0 as no limit.
    return await gunzip(compressed, { maxOutputLength: Math.max(1, limitBytes) });
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(limitBytes);
    throw new IntakeError("INVALID_PAYLOAD", "the body is not valid gzip", { cause: error });
  }
}

async function readAll(
  body: ReadableStream<Uint8Array>,
  maxBytes: number,
  { limitBytes, signal, held }: ReadBodyOptions,
): Promise<Uint8Array> {
  const reader = body.getReader();
  const onAbort = (): void => void reader.cancel(signal.reason).catch(() => undefined);
  signal.addEventListener("abort", onAbort, { once: true });
  // One growing buffer, because a list of one-byte chunks would be far larger than its bytes.
  let bytes = new Uint8Array(Math.min(64 * 1024, maxBytes));
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      signal.throwIfAborted();
      if (done) return bytes.subarray(0, length);
      if (length + value.byteLength > maxBytes) throw tooLarge(limitBytes);
      held?.add(value.byteLength);
      bytes = withRoom(bytes, length + value.byteLength, maxBytes);
      bytes.set(value, length);
      length += value.byteLength;
    }
  } catch (error) {
    signal.throwIfAborted();
    onAbort();
    if (error instanceof IntakeError) throw error;
    throw new IntakeError("INVALID_PAYLOAD", "the body ended early", { cause: error });
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function withRoom(bytes: Uint8Array<ArrayBuffer>, needed: number, max: number): Uint8Array<ArrayBuffer> {
  if (needed <= bytes.byteLength) return bytes;
  const larger = new Uint8Array(Math.min(max, Math.max(needed, 2 * bytes.byteLength)));
  larger.set(bytes);
  return larger;
}

function tooLarge(limitBytes: number): IntakeError {
  return new IntakeError("PAYLOAD_TOO_LARGE", `the body is larger than ${numbered(limitBytes, "byte")}`);
}
