import { Failure } from "../../jobs/failure.ts";

type Algorithm = "sha256" | "sha1" | "md5";

/** Hashes a body while it passes: SHA-256 always, for the ledger, and what the client named. */
export class Checksum {
  readonly #sha256 = new Digest("sha256");
  readonly #expected: { readonly algorithm: Algorithm; readonly hex: string } | undefined;
  readonly #other: Digest | undefined;

  /** `expected` is `algorithm:hex`, as a manifest has it. */
  constructor(expected: string | undefined) {
    const [algorithm, hex] = expected?.split(":") ?? [];
    if (algorithm === undefined || hex === undefined) return;
    this.#expected = { algorithm: algorithm as Algorithm, hex: hex.toLowerCase() };
    if (algorithm !== "sha256") this.#other = new Digest(this.#expected.algorithm);
  }

  /** Takes the next chunk, which must not change any more. */
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
      `${expected.algorithm} is ${actual}, the manifest says ${expected.hex}`,
    );
  }
}

/** A digest of some chunks. Most bodies are one: to hash that without a hasher costs 7 µs for 10 KiB instead of 9. */
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
