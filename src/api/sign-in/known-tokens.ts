import { timingSafeEqual } from "node:crypto";
import type { AccessToken, Role } from "../../config/values/access-token.ts";

/** A token of the configuration, without its secret. */
export interface KnownToken {
  /** Differs between tokens. */
  readonly id: string;
  /** The token's name in the configuration; `undefined` if it has none. */
  readonly name: string | undefined;
  readonly role: Role;
  readonly digest: Uint8Array;
}

/** The tokens of the configuration as digests, computed once for each list. */
export class KnownTokens {
  readonly #settings: { readonly tokens: readonly AccessToken[] };
  #tokens: readonly AccessToken[] = [];
  #known: readonly KnownToken[] = [];

  /** The list of `settings` may be replaced at any time. */
  constructor(settings: { readonly tokens: readonly AccessToken[] }) {
    this.#settings = settings;
  }

  /** The token with this secret; `undefined` if there is none. It compares in constant time. */
  find(secret: string): KnownToken | undefined {
    const digest = digestOf(secret);
    // It compares all tokens, so that the time does not depend on the matching one.
    const found = this.#current().filter((token) => timingSafeEqual(token.digest, digest));
    // The configuration refuses the same token twice; the role `operator` includes the others.
    return found.find(({ role }) => role === "operator") ?? found[0];
  }

  /** The token as the configuration has it now; `undefined` if its secret, role or name is no longer there. */
  renewed({ digest, role, name }: KnownToken): KnownToken | undefined {
    return this.#current().find(
      (token) => timingSafeEqual(token.digest, digest) && token.role === role && token.name === name,
    );
  }

  #current(): readonly KnownToken[] {
    if (this.#tokens === this.#settings.tokens) return this.#known;
    this.#tokens = this.#settings.tokens;
    this.#known = this.#tokens.map(({ role, name, token }, at) => ({
      id: `token ${at}`,
      name,
      role,
      digest: digestOf(token.reveal()),
    }));
    return this.#known;
  }
}

/** A digest, so that all compared values have the same length. */
function digestOf(secret: string): Uint8Array {
  return new Bun.CryptoHasher("sha256").update(secret).digest();
}
