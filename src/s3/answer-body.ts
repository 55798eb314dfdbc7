/** Longest answer that is read: a page of 1000 keys of 1024 bytes, every byte escaped, has about 4 MB. */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

/** The text of an answer that is not an object, `touch`ed for every piece. Throws where it is too long. */
export async function readAnswer(response: Response, touch: () => void): Promise<string> {
  // Asked first, because `body` makes a stream, which costs 15 µs.
  if (response.headers.get("content-length") === "0" || response.body === null) return "";
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of response.body) {
    touch();
    bytes += piece.byteLength;
    if (bytes > ANSWER_BYTES_MAX) throw new Error(`the answer has more than ${ANSWER_BYTES_MAX} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}
