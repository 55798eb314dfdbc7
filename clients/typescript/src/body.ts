/** Below this size, compression saves less than it costs. */
const GZIP_FROM_BYTES = 16 * 1024;

/** A body as it is sent. */
export interface Encoded {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly encoding: "gzip" | undefined;
}

/** JSON as UTF-8. */
export function jsonBytes(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(value));
}

/** A large body compressed, a small one unchanged. */
export async function encode(bytes: Uint8Array<ArrayBuffer>): Promise<Encoded> {
  if (bytes.byteLength < GZIP_FROM_BYTES) return { bytes, encoding: undefined };
  const compressed = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  return { bytes: new Uint8Array(await new Response(compressed).arrayBuffer()), encoding: "gzip" };
}

/** The SHA-256 of bytes in hex. */
export async function sha256Hex(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
