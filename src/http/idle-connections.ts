import type { Clock } from "../std/clock.ts";
import type { HttpConnection } from "./connection.ts";

/** Limit for all hosts together; the connection that is idle longest is closed first. */
const CONNECTIONS_MAX = 1024;
/** Limit for one place. */
export const CONNECTIONS_PER_KEY_MAX = 256;

const SWEEP_EVERY_MS = 1000;

interface Idle {
  readonly key: string;
  readonly connection: HttpConnection;
  /** End of its idle time, by the monotonic clock. */
  readonly until: number;
}

/**
 * Connections that wait for their next request. They are closed before the server is likely to close them, so that a
 * request rarely fails on a closed connection. The latest is used first.
 */
export class IdleConnections {
  readonly #clock: Pick<Clock, "monotonic">;
  /** In the order in which they became idle. */
  readonly #all = new Map<HttpConnection, Idle>();
  readonly #byKey = new Map<string, HttpConnection[]>();
  #sweptAt = Number.NEGATIVE_INFINITY;

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#all.size;
  }

  /** A connection to that place, which then belongs to the caller; `undefined` if there is none. */
  take(key: string): HttpConnection | undefined {
    const connections = this.#byKey.get(key);
    const now = this.#clock.monotonic();
    for (let latest = connections?.at(-1); latest !== undefined; latest = connections?.at(-1)) {
      const isFresh = (this.#all.get(latest)?.until ?? 0) > now;
      this.remove(latest);
      if (isFresh) return latest;
      latest.destroy();
    }
    return undefined;
  }

  /** Keeps a connection for `idleMs`; closes it at once if that is 0 or less. */
  add(key: string, connection: HttpConnection, idleMs: number): void {
    this.dropExpired();
    if (idleMs <= 0) return connection.destroy();
    const connections = this.#byKey.get(key);
    if (connections === undefined) this.#byKey.set(key, [connection]);
    else connections.push(connection);
    this.#all.set(connection, { key, connection, until: this.#clock.monotonic() + idleMs });
    if (connections !== undefined && connections.length > CONNECTIONS_PER_KEY_MAX) this.#dropFirst(connections);
    if (this.#all.size > CONNECTIONS_MAX) this.#dropFirst(this.#all.keys());
  }

  /** Forgets a connection that is over or taken; does nothing for an unknown one. */
  remove(connection: HttpConnection): void {
    const idle = this.#all.get(connection);
    if (idle === undefined) return;
    this.#all.delete(connection);
    const connections = this.#byKey.get(idle.key);
    if (connections === undefined) return;
    const at = connections.lastIndexOf(connection);
    if (at >= 0) connections.splice(at, 1);
    if (connections.length === 0) this.#byKey.delete(idle.key);
  }

  /** Closes all connections to a place, because one of them turned out to be dead. */
  dropAll(key: string): void {
    const connections = this.#byKey.get(key) ?? [];
    for (let last = connections.at(-1); last !== undefined; last = connections.at(-1)) this.#drop(last);
  }

  /** Closes the connections whose idle time has passed; checks at most once per second. */
  dropExpired(): void {
    const now = this.#clock.monotonic();
    if (now - this.#sweptAt < SWEEP_EVERY_MS) return;
    this.#sweptAt = now;
    for (const { connection, until } of this.#all.values()) {
      if (until <= now) this.#drop(connection);
    }
  }

  /** Closes all connections. */
  close(): void {
    for (const connection of this.#all.keys()) this.#drop(connection);
  }

  #dropFirst([oldest]: Iterable<HttpConnection>): void {
    if (oldest !== undefined) this.#drop(oldest);
  }

  #drop(connection: HttpConnection): void {
    this.remove(connection);
    connection.destroy();
  }
}
