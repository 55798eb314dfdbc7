import type { Clock } from "../../std/clock.ts";
import { ExpiringMap } from "../../std/expiring-map.ts";
import type { DialOptions } from "./dial.ts";

/** Each holds the server's certificates, too: some KiB. */
const SESSIONS_MAX = 1024;
/** The certificate was approved with the full handshake; it is looked at again after so long. */
const KEPT_FOR_MS = 10 * 60_000;

interface Kept {
  readonly session: Uint8Array;
  readonly ca: readonly string[] | undefined;
}

/**
 * TLS sessions of servers, by which a further connection takes a shorter handshake (RFC 8446, 2.2): a quarter of the
 * CPU of a connection less. A session is used only for the address, the port, the name and the authorities that it was
 * approved with.
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

  /** A handshake with it failed: the next one is a full one. */
  forget(options: DialOptions): void {
    this.#kept.delete(keyOf(options));
  }
}

function keyOf({ address, port, tls }: DialOptions): string {
  return `${address} ${port} ${tls?.serverName ?? ""}`;
}
