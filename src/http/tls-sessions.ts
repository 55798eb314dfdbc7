import type { Clock } from "../jobs/clock.ts";
import type { DialOptions } from "./dial.ts";

/** Each holds the server's certificates, too: some KiB. */
const SESSIONS_MAX = 1024;
/** The certificate was approved with the full handshake; it is looked at again after so long. */
const KEPT_FOR_MS = 10 * 60_000;

interface Kept {
  readonly session: Uint8Array;
  readonly ca: readonly string[] | undefined;
  /** Monotonic. */
  readonly until: number;
}

/**
 * TLS sessions of servers, by which a further connection takes a shorter handshake (RFC 8446, 2.2): a quarter of the CPU
 * of a connection less. A session is used only for the address, the port, the name and the authorities that it was
 * approved with. Bounded: the one that was kept first is forgotten.
 */
export class TlsSessions {
  readonly #clock: Clock;
  readonly #kept = new Map<string, Kept>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  find(options: DialOptions): Uint8Array | undefined {
    const key = keyOf(options);
    const kept = this.#kept.get(key);
    if (kept === undefined || kept.ca !== options.tls?.ca) return undefined;
    if (this.#clock.monotonic() < kept.until) return kept.session;
    this.#kept.delete(key);
    return undefined;
  }

  keep(options: DialOptions, session: Uint8Array): void {
    const key = keyOf(options);
    this.#kept.delete(key);
    this.#kept.set(key, { session, ca: options.tls?.ca, until: this.#clock.monotonic() + KEPT_FOR_MS });
    if (this.#kept.size <= SESSIONS_MAX) return;
    for (const oldest of this.#kept.keys()) {
      this.#kept.delete(oldest);
      break;
    }
  }

  /** A handshake with it failed: the next one is a full one. */
  forget(options: DialOptions): void {
    this.#kept.delete(keyOf(options));
  }
}

function keyOf({ address, port, tls }: DialOptions): string {
  return `${address} ${port} ${tls?.serverName ?? ""}`;
}
