import { Failure } from "../../jobs/failure.ts";
import { sha256Of } from "../../std/digest.ts";

type Algorithm = "sha256" | "sha1" | "md5";

/**
 * The hash of a body, chunk by chunk or in one piece: always SHA-256, for the ledger, and the manifest's algorithm
 * beside it.
 */
export class Checksum {
  #sha256: Bun.CryptoHasher | undefined;
  readonly #expected: { readonly algorithm: Algorithm; readonly hex: string } | undefined;
  readonly #other: Bun.CryptoHasher | undefined;

  /** `expected` is `algorithm:hex`, as in a manifest. */
  constructor(expected: string | undefined) {
    const [algorithm, hex] = expected?.split(":") ?? [];
    if (algorithm === undefined || hex === undefined) return;
    this.#expected = { algorithm: algorithm as Algorithm, hex: hex.toLowerCase() };
    if (algorithm !== "sha256") this.#other = new Bun.CryptoHasher(this.#expected.algorithm);
  }

  update(chunk: Uint8Array): void {
    this.#hasher().update(chunk);
    this.#other?.update(chunk);
  }

  /** The body's SHA-256 in hex. @throws Failure DOWNLOAD_CHECKSUM_MISMATCH */
  verify(): string {
    return this.#checked(this.#hasher().digest("hex"));
  }

  /** The same for a body in one piece, without `update`. */
  async verifyWhole(body: Uint8Array): Promise<string> {
    this.#other?.update(body);
    return this.#checked(await sha256Of(body));
  }

  #hasher(): Bun.CryptoHasher {
    return (this.#sha256 ??= new Bun.CryptoHasher("sha256"));
  }

  #checked(sha256: string): string {
    const expected = this.#expected;
    if (expected === undefined) return sha256;
    const actual = this.#other?.digest("hex") ?? sha256;
    if (actual === expected.hex) return sha256;
    throw new Failure(
      "DOWNLOAD_CHECKSUM_MISMATCH",
      `${expected.algorithm} is ${actual}, the manifest requires ${expected.hex}`,
    );
  }
}
