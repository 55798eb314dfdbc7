import type { Clock } from "../../std/clock.ts";
import { ExpiringMap } from "../../std/collections/expiring-map.ts";
import type { DialOptions } from "./dial.ts";

/** Each session holds the server's certificates, too: some KiB. */
const SESSIONS_MAX = 1024;
/** Only a full handshake checks the certificate, so the next one follows after this time. */
const KEPT_FOR_MS = 10 * 60_000;

interface Kept {
  readonly session: Uint8Array;
  readonly ca: readonly string[] | undefined;
}

/**
 * TLS sessions of servers, with which a further connection takes a shorter handshake (RFC 8446, section 2.2). That
 * saves a quarter of the CPU of a connection. A session is used only with the address, port, name and authorities that
 * it was approved with.
 */
export class TlsSessions {
  readonly #kept: ExpiringMap<Kept>;

  constructor(clock: Clock) {
    this.#kept = new ExpiringMap(clock, KEPT_FOR_MS, SESSIONS_MAX);
  }

  find(options: DialOptions): Uint8Array | undefined {
    const kept = this.#kept.get(keyOf(options));
    return kept?.ca === options.tls?.ca ? kept?.session : undefined;
  }

  keep(options: DialOptions, session: Uint8Array): void {
    this.#kept.set(keyOf(options), { session, ca: options.tls?.ca });
  }

  /** Makes the next handshake a full one, after a handshake with the session failed. */
  forget(options: DialOptions): void {
    this.#kept.delete(keyOf(options));
  }
}

function keyOf({ address, port, tls }: DialOptions): string {
  return `${address} ${port} ${tls?.serverName ?? ""}`;
}
