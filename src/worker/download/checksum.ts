import { Failure } from "../../jobs/failure.ts";

type Algorithm = "sha256" | "sha1" | "md5";

/** The hash of a body, chunk by chunk: always SHA-256, for the ledger, and the manifest's algorithm beside it. */
export class Checksum {
  readonly #sha256 = new Digest("sha256");
  readonly #expected: { readonly algorithm: Algorithm; readonly hex: string } | undefined;
  readonly #other: Digest | undefined;

  /** `expected` is `algorithm:hex`, as in a manifest. */
  constructor(expected: string | undefined) {
    const [algorithm, hex] = expected?.split(":") ?? [];
    if (algorithm === undefined || hex === undefined) return;
    this.#expected = { algorithm: algorithm as Algorithm, hex: hex.toLowerCase() };
    if (algorithm !== "sha256") this.#other = new Digest(this.#expected.algorithm);
  }

  /** Takes the next chunk, which must not change afterwards. */
  update(chunk: Uint8Array): void {
    this.#sha256.update(chunk);
    this.#other?.update(chunk);
  }

  /** The body's SHA-256 in hex. @throws Failure DOWNLOAD_CHECKSUM_MISMATCH */
  verify(): string {
    const sha256 = this.#sha256.hex();
    const expected = this.#expected;
    if (expected === undefined) return sha256;
    const actual = this.#other?.hex() ?? sha256;
    if (actual === expected.hex) return sha256;
    throw new Failure(
      "DOWNLOAD_CHECKSUM_MISMATCH",
      `${expected.algorithm} is ${actual}, the manifest requires ${expected.hex}`,
    );
  }
}

/** A digest of chunks. Most bodies are one chunk: hashing it without a hasher takes 7 µs for 10 KiB instead of 9. */
class Digest {
  readonly #algorithm: Algorithm;
  #only: Uint8Array | undefined;
  #hasher: Bun.CryptoHasher | undefined;

  constructor(algorithm: Algorithm) {
    this.#algorithm = algorithm;
  }

  update(chunk: Uint8Array): void {
    if (this.#hasher === undefined && this.#only === undefined) {
      this.#only = chunk;
      return;
    }
    if (this.#hasher === undefined) {
      this.#hasher = new Bun.CryptoHasher(this.#algorithm).update(this.#only ?? "");
      this.#only = undefined;
    }
    this.#hasher.update(chunk);
  }

  hex(): string {
    return this.#hasher?.digest("hex") ?? Bun.CryptoHasher.hash(this.#algorithm, this.#only ?? "", "hex");
  }
}
