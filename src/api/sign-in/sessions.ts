import type { Clock } from "../../std/clock.ts";
import { sha256Hex } from "../../std/digest.ts";
import type { KnownToken, KnownTokens } from "./known-tokens.ts";

const SESSIONS_MAX = 1000;
const HOUR_MS = 3_600_000;
const IDLE_MAX_MS = 12 * HOUR_MS;
const AGE_MAX_MS = 7 * 24 * HOUR_MS;
const ID_BYTES = 32;

/** A browser that signed in. It has the rights of a token. */
export interface Session {
  readonly token: KnownToken;
  /** The end, in milliseconds since the epoch, if no further request follows. */
  readonly expiresAt: number;
  /** False once the session has ended. The call counts as no use of it. */
  readonly isOpen: () => boolean;
}

interface Entry {
  readonly token: KnownToken;
  /** Times are of the monotonic clock. */
  readonly startedAt: number;
  readonly usedAt: number;
}

interface SessionsDeps {
  readonly tokens: KnownTokens;
  readonly clock: Pick<Clock, "now" | "monotonic">;
}

/**
 * The sessions of browsers, in memory alone: a restart ends them. A session ends after 12 hours without a request,
 * after 7 days in all, or as soon as its token is no longer configured. Beyond 1,000 sessions, the token with most of
 * them loses its least recently used one: so no token can end the sessions of the others.
 */
export class Sessions {
  readonly #deps: SessionsDeps;
  /** By the digest of the session's id, so that the memory holds no id. The order is that of the last use. */
  readonly #entries = new Map<string, Entry>();

  constructor(deps: SessionsDeps) {
    this.#deps = deps;
  }

  /** Starts a session with the rights of a token. The id is its secret, 256 random bits. */
  start(token: KnownToken): Session & { readonly id: string } {
    const id = Buffer.from(crypto.getRandomValues(new Uint8Array(ID_BYTES))).toString("base64url");
    const now = this.#deps.clock.monotonic();
    const entry = { token, startedAt: now, usedAt: now };
    this.#makeRoom();
    const key = sha256Hex(id);
    this.#entries.set(key, entry);
    return { id, ...this.#sessionOf(key, entry, token) };
  }

  /** The session with an id; `undefined` if there is none. The call counts as a use of the session. */
  use(id: string): Session | undefined {
    const key = sha256Hex(id);
    const open = this.#open(key);
    if (open === undefined) return undefined;
    const used = { ...open.entry, usedAt: this.#deps.clock.monotonic() };
    this.#entries.delete(key);
    this.#entries.set(key, used);
    return this.#sessionOf(key, used, open.token);
  }

  end(id: string): void {
    this.#entries.delete(sha256Hex(id));
  }

  /** An entry with its token as it is configured now; `undefined` if the session has ended. */
  #open(key: string): { readonly entry: Entry; readonly token: KnownToken } | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    const token = this.#deps.tokens.renewed(entry.token);
    if (token !== undefined && this.#deps.clock.monotonic() < endOf(entry)) return { entry, token };
    this.#entries.delete(key);
    return undefined;
  }

  #makeRoom(): void {
    if (this.#entries.size < SESSIONS_MAX) return;
    const byToken = Map.groupBy(this.#entries, ([, { token }]) => token.id);
    const most = [...byToken.values()].reduce((most, some) => (some.length > most.length ? some : most));
    const [oldest] = most[0] ?? [];
    if (oldest !== undefined) this.#entries.delete(oldest);
  }

  #sessionOf(key: string, entry: Entry, token: KnownToken): Session {
    const { now, monotonic } = this.#deps.clock;
    const expiresAt = Math.round(now() + endOf(entry) - monotonic());
    return { token, expiresAt, isOpen: () => this.#open(key) !== undefined };
  }
}

function endOf({ startedAt, usedAt }: Entry): number {
  return Math.min(startedAt + AGE_MAX_MS, usedAt + IDLE_MAX_MS);
}
