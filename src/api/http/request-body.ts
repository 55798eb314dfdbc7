import type { HeldBytes } from "../../intake/body-memory.ts";
import { readBody } from "../../intake/read-body.ts";
import { numbered } from "../../std/counted.ts";
import { ApiError } from "./errors.ts";

/** @throws ApiError UNSUPPORTED_MEDIA_TYPE unless `Content-Type` is JSON */
export function refuseOtherMediaTypes({ headers }: Request): void {
  const mediaType = (headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase();
  if (mediaType === "application/json") return;
  throw new ApiError("UNSUPPORTED_MEDIA_TYPE", { message: "Content-Type must be application/json" });
}

/**
 * The decoded bytes of a request's body. It never holds more than `limitBytes` of them.
 * @throws ApiError, IntakeError if the body is too large, alone or with the other bodies, has a coding other than gzip,
 *   or ends early
 */
export async function readRequestBody(request: Request, limitBytes: number, held?: HeldBytes): Promise<Uint8Array> {
  const contentEncoding = request.headers.get("content-encoding");
  const isPlain = contentEncoding === null || contentEncoding.toLowerCase() === "identity";
  const declared = request.headers.get("content-length");
  // A declared length that is too large is refused at once. Compression hardly ever makes a body larger.
  if (Number(declared ?? 0) > (isPlain ? limitBytes : 2 * limitBytes + 1024)) {
    await drain(request);
    throw new ApiError("PAYLOAD_TOO_LARGE", {
      message: `the body is larger than ${numbered(limitBytes, "byte")}`,
      headers: { connection: "close" },
    });
  }
  try {
    // The server accepts no more than the declared length. Reading all at once costs a third of reading the stream.
    if (isPlain && declared !== null) return await readDeclared(request, Number(declared), held);
    return await readBody(request.body, { contentEncoding, limitBytes, signal: request.signal, held });
  } catch (error) {
    if (!request.signal.aborted) throw error;
    // The client has disconnected. It does not read this answer, but the error must not count as internal.
    throw new ApiError("INVALID_PAYLOAD", { message: "the body ended early", cause: error });
  }
}

async function readDeclared(request: Request, bytes: number, held: HeldBytes | undefined): Promise<Uint8Array> {
  try {
    held?.add(bytes);
  } catch (error) {
    await drain(request);
    throw error;
  }
  return request.bytes();
}

/** Limits for reading a refused body, so that a client that sends all before it reads gets its answer. */
const DRAIN_BYTES_MAX = 32 * 1024 * 1024;
const DRAIN_MS_MAX = 1000;

/** Reads a refused body and drops it, within the limits. Never throws. */
async function drain(request: Request): Promise<void> {
  const reader = request.body?.getReader();
  if (reader === undefined) return;
  const timer = setTimeout(() => void reader.cancel().catch(() => {}), DRAIN_MS_MAX);
  try {
    for (let bytes = 0; bytes < DRAIN_BYTES_MAX; ) {
      const { done, value } = await reader.read();
      if (done) return;
      bytes += value.byteLength;
    }
  } catch {
    // The client has disconnected.
  } finally {
    clearTimeout(timer);
  }
}
