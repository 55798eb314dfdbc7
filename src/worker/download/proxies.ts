import type { Clock } from "../../std/clock.ts";

export interface ProxyServer {
  /** For display: without credentials. */
  readonly url: string;
  readonly kind: "http" | "https" | "socks5";
  /** A name or an address, the latter without brackets. */
  readonly host: string;
  readonly port: number;
  /** The value of `Proxy-Authorization`, for http and https. */
  readonly authorization: string | undefined;
  /** For socks5. */
  readonly credentials: { readonly username: string; readonly password: string } | undefined;
}

export interface ProxyEndpoint extends ProxyServer {
  readonly pool: string;
}

/** One `[proxies.NAME]`. */
export interface ProxyPool {
  readonly endpoints: readonly ProxyServer[];
  /** The pools to use after every endpoint has failed. */
  readonly fallbacks: readonly string[];
}

/**
 * The proxy's part in a request: it delivered an answer, it failed itself, or there was a silence of the proxy or of
 * the host.
 */
export type ProxyReport = "works" | "failed" | "silent";

interface KnownPool {
  readonly endpoints: readonly ProxyEndpoint[];
  readonly fallbacks: readonly string[];
  turn: number;
}

/** The record of an endpoint that has failed or was silent. Times are by the monotonic clock. */
interface Rest {
  ms: number;
  until: number;
  silences: number;
}

const REST_FIRST_MS = 1000;
const REST_MAX_MS = 60_000;
/** Silences in a row that count as a failure of the proxy. */
const SILENCES_MAX = 3;

/**
 * The proxy pools. The endpoints of a pool take turns, request by request; its fallbacks follow, each pool once. An
 * endpoint that fails rests: it comes after all others. When its rest is over, one request probes it.
 */
export class ProxyPools {
  readonly #pools: ReadonlyMap<string, KnownPool>;
  readonly #rests = new Map<ProxyEndpoint, Rest>();
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #onRest: (endpoint: ProxyEndpoint, ms: number, reason: string) => void;

  constructor(
    pools: ReadonlyMap<string, ProxyPool>,
    clock: Pick<Clock, "monotonic">,
    onRest: (endpoint: ProxyEndpoint, ms: number, reason: string) => void = () => {},
  ) {
    this.#pools = new Map(
      [...pools].map(([pool, { endpoints, fallbacks }]) => [
        pool,
        { endpoints: endpoints.map((endpoint) => ({ pool, ...endpoint })), fallbacks, turn: 0 },
      ]),
    );
    this.#clock = clock;
    this.#onRest = onRest;
  }

  /**
   * Yields the endpoints for one request, one after the other; no endpoint for an unknown pool. An endpoint counts as
   * tried when it is yielded. So one whose rest is over belongs to the request that gets it.
   */
  *attempts(name: string): Generator<ProxyEndpoint, void, undefined> {
    const left = this.#takeTurn(name);
    for (let next = this.#best(left); next !== undefined; next = this.#best(left)) {
      left.splice(left.indexOf(next), 1);
      this.#reserveProbe(next);
      yield next;
    }
  }

  /** Records the outcome of a request. The log shows the reason. */
  report(endpoint: ProxyEndpoint, report: ProxyReport, reason = ""): void {
    if (report === "works") {
      this.#rests.delete(endpoint);
      return;
    }
    const rest = this.#rests.get(endpoint) ?? { ms: 0, until: 0, silences: 0 };
    this.#rests.set(endpoint, rest);
    if (report === "silent" && ++rest.silences < SILENCES_MAX) return;
    rest.ms = Math.min(REST_MAX_MS, rest.ms === 0 ? REST_FIRST_MS : rest.ms * 2);
    rest.until = this.#clock.monotonic() + rest.ms;
    this.#onRest(endpoint, rest.ms, reason);
  }

  /** A pool and its fallbacks, each once. */
  #reachable(name: string): KnownPool[] {
    const found = new Map<string, KnownPool>();
    const waiting = [name];
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const pool = this.#pools.get(next);
      if (pool === undefined || found.has(next)) continue;
      found.set(next, pool);
      waiting.push(...pool.fallbacks);
    }
    return [...found.values()];
  }

  /** Every endpoint of a pool and its fallbacks; the next request starts with another endpoint of each pool. */
  #takeTurn(name: string): ProxyEndpoint[] {
    return this.#reachable(name).flatMap((pool) => {
      const { endpoints, turn } = pool;
      pool.turn = (turn + 1) % endpoints.length;
      return [...endpoints.slice(turn), ...endpoints.slice(0, turn)];
    });
  }

  /** The first endpoint without a rest, else the one whose rest ends first. */
  #best(endpoints: readonly ProxyEndpoint[]): ProxyEndpoint | undefined {
    const now = this.#clock.monotonic();
    const until = (endpoint: ProxyEndpoint) => this.#rests.get(endpoint)?.until ?? 0;
    const usable = endpoints.find((endpoint) => until(endpoint) <= now);
    return usable ?? endpoints.toSorted((a, b) => until(a) - until(b))[0];
  }

  /** Reserves an endpoint whose rest is over for one request. The reservation lasts as long as the rest did. */
  #reserveProbe(endpoint: ProxyEndpoint): void {
    const rest = this.#rests.get(endpoint);
    const now = this.#clock.monotonic();
    if (rest !== undefined && rest.ms > 0 && rest.until <= now) rest.until = now + rest.ms;
  }
}
