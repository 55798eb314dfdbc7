export interface ProxyEndpoint {
  readonly pool: string;
  /** Without credentials: it may be shown. */
  readonly url: string;
  /** The value of `Proxy-Authorization`. */
  readonly authorization: string | undefined;
}

/** One `[proxies.NAME]`. */
export interface ProxyPool {
  readonly endpoints: readonly Omit<ProxyEndpoint, "pool">[];
  /** Pools to go on with. */
  readonly fallbacks: readonly string[];
}

/**
 * The proxy pools. Endpoints of a pool take turns, request by request; its fallbacks follow, each pool once.
 */
export class ProxyPools {
  readonly #pools: ReadonlyMap<string, ProxyPool>;
  readonly #turns = new Map<string, number>();

  constructor(pools: ReadonlyMap<string, ProxyPool>) {
    this.#pools = pools;
  }

  /** Every endpoint to try for a pool, in order; none for an unknown pool. */
  endpoints(name: string): ProxyEndpoint[] {
    const endpoints: ProxyEndpoint[] = [];
    const waiting = [name];
    const seen = new Set<string>();
    for (let pool = waiting.shift(); pool !== undefined; pool = waiting.shift()) {
      const known = this.#pools.get(pool);
      if (known === undefined || seen.has(pool)) continue;
      seen.add(pool);
      const turn = this.#turns.get(pool) ?? 0;
      this.#turns.set(pool, (turn + 1) % known.endpoints.length);
      for (const endpoint of [...known.endpoints.slice(turn), ...known.endpoints.slice(0, turn)]) {
        endpoints.push({ pool, ...endpoint });
      }
      waiting.push(...known.fallbacks);
    }
    return endpoints;
  }
}
