/** Bytes that differ from place to place and from seed to seed, so that a shift or a mix-up shows. */
export function pattern(bytes: number, seed = 1): Uint8Array {
  const words = new Uint32Array(Math.ceil(bytes / 4));
  let state = (seed * 2654435761) >>> 0 || 1;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, bytes);
}

/** Length and digest: compares large bodies, and prints short. */
export function digest(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? "nothing" : `${bytes.byteLength} ${Bun.CryptoHasher.hash("sha256", bytes, "hex")}`;
}
