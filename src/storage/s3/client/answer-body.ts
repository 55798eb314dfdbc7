import type { HttpResponse } from "../../../http/connection.ts";

/** Longest answer that is read: a page of 1000 keys of 1024 bytes, every byte escaped, has about 4 MB. */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

/** The body of an answer that is not an object, `touch` is called for every piece. Throws where it is too long. */
export async function readAnswer({ body }: HttpResponse, touch = (): void => {}): Promise<Buffer> {
  if (body.isRead) return Buffer.alloc(0);
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for (let piece = await body.read(); piece !== undefined; piece = await body.read()) {
    touch();
    bytes += piece.byteLength;
    if (bytes > ANSWER_BYTES_MAX) {
      body.discard();
      throw new Error(`the answer has more than ${ANSWER_BYTES_MAX} bytes`);
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
