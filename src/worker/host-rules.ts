export interface HostLimits {
  /** Downloads from one host at the same time, over all jobs. */
  readonly maxConcurrency: number;
  /** Requests per second to one host; 0 = no limit. */
  readonly ratePerSecond: number;
  /** Transient failures in a row that open the breaker; 0 = no breaker. */
  readonly breakerFailures: number;
}

/**
 * Which limits hold for a host. A pattern is a name (`cdn.example.com`), a name with a port (`cdn.example.com:8443`), or
 * either behind `*.`, which stands for one label or more. The one that says most wins: a port before none, a whole name
 * before a wildcard, a long one before a short one.
 */
export class HostRules {
  readonly #otherwise: HostLimits;
  readonly #byPattern: ReadonlyMap<string, HostLimits>;

  /** What a pattern does not say is as `otherwise`. */
  constructor(otherwise: HostLimits, patterns: Readonly<Record<string, Partial<HostLimits>>> = {}) {
    this.#otherwise = otherwise;
    this.#byPattern = new Map(
      Object.entries(patterns).map(([pattern, limits]) => [pattern.toLowerCase(), { ...otherwise, ...limits }]),
    );
  }

  /** `host` as in a URL: lower case, the port only where it is not the scheme's. */
  limitsOf(host: string): HostLimits {
    if (this.#byPattern.size === 0) return this.#otherwise;
    const [, name = host, port = ""] = /^(.*?)(:\d+)?$/.exec(host) ?? [];
    const patterns = [name, ...wildcards(name)];
    for (const pattern of [...patterns.map((each) => each + port), ...patterns]) {
      const found = this.#byPattern.get(pattern);
      if (found !== undefined) return found;
    }
    return this.#otherwise;
  }
}

/** `*.b.c` and `*.c` for `a.b.c`. */
function wildcards(name: string): string[] {
  const labels = name.split(".");
  return labels.slice(1).map((_, at) => `*.${labels.slice(at + 1).join(".")}`);
}
