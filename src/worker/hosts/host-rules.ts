import { HostPatterns } from "../../net/host-patterns.ts";

export interface HostLimits {
  /** Downloads from one host at the same time, over all jobs. */
  readonly maxConcurrency: number;
  /** Requests per second to one host; 0 = no limit. */
  readonly ratePerSecond: number;
  /** Transient failures in a row that open the breaker; 0 = no breaker. */
  readonly breakerFailures: number;
}

/** Which limits hold for a host. */
export class HostRules {
  readonly #otherwise: HostLimits;
  readonly #byPattern: HostPatterns<HostLimits>;

  /** What a pattern does not say is as `otherwise`. */
  constructor(otherwise: HostLimits, patterns: Readonly<Record<string, Partial<HostLimits>>> = {}) {
    this.#otherwise = otherwise;
    this.#byPattern = new HostPatterns(
      Object.entries(patterns).map(([pattern, limits]) => [pattern, { ...otherwise, ...limits }] as const),
    );
  }

  /** `host` as in a URL: lower case, the port only where it is not the scheme's. */
  limitsOf(host: string): HostLimits {
    return this.#byPattern.find(host) ?? this.#otherwise;
  }
}
