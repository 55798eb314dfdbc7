import type { HeldBytes } from "../../intake/body-memory.ts";
import { readBody } from "../../intake/read-body.ts";
import { ApiError } from "./errors.ts";

/** @throws ApiError UNSUPPORTED_MEDIA_TYPE unless the body is said to be JSON */
export function refuseOtherMediaTypes({ headers }: Request): void {
  const mediaType = (headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase();
  if (mediaType === "application/json") return;
  throw new ApiError("UNSUPPORTED_MEDIA_TYPE", { message: "Content-Type must be application/json" });
}

/**
 * The decoded bytes of a request's body, of which no more than the limit are ever held.
 * @throws ApiError, IntakeError: too large, too much with the other bodies, another coding than gzip, ends early
 */
export async function readRequestBody(request: Request, limitBytes: number, held?: HeldBytes): Promise<Uint8Array> {
  const contentEncoding = request.headers.get("content-encoding");
  const isPlain = contentEncoding === null || contentEncoding.toLowerCase() === "identity";
  const declared = request.headers.get("content-length");
  // What says beforehand that it is too large need not be sent. Compressed, a body is hardly larger than plain.
  if (Number(declared ?? 0) > (isPlain ? limitBytes : 2 * limitBytes + 1024)) {
    await drain(request);
    throw new ApiError("PAYLOAD_TOO_LARGE", {
      message: `the body is larger than ${limitBytes} bytes`,
      headers: { connection: "close" },
    });
  }
  try {
    // The server takes no more than was declared. Reading in one go costs a third of reading the stream.
    if (isPlain && declared !== null) return await readDeclared(request, Number(declared), held);
    return await readBody(request.body, { contentEncoding, limitBytes, signal: request.signal, held });
  } catch (error) {
    if (!request.signal.aborted) throw error;
    // The client is gone: nobody reads this answer, but it is no fault of ours.
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

/** What of a refused body is read and dropped, so that a client that sends before it listens gets its answer. */
const DRAIN_BYTES_MAX = 32 * 1024 * 1024;
const DRAIN_MS_MAX = 1000;

/** Lets a body that nobody wants run out, within bounds. Never throws. */
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
    // The client has gone.
  } finally {
    clearTimeout(timer);
  }
}
