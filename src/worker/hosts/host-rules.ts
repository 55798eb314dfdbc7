import { HostPatterns } from "../../net/host-patterns.ts";

export interface HostLimits {
  /** Downloads from one host at the same time, over all jobs. */
  readonly maxConcurrency: number;
  /** Requests per second to one host; 0 = no limit. */
  readonly ratePerSecond: number;
  /** Transient failures in a row that open the breaker; 0 = no breaker. */
  readonly breakerFailures: number;
}

/** The limits of each host, by the configuration's patterns. */
export class HostRules {
  readonly #otherwise: HostLimits;
  readonly #byPattern: HostPatterns<{ readonly pattern: string; readonly limits: HostLimits }>;

  /** A limit that a pattern leaves out is as in `otherwise`. */
  constructor(otherwise: HostLimits, patterns: Readonly<Record<string, Partial<HostLimits>>> = {}) {
    this.#otherwise = otherwise;
    this.#byPattern = new HostPatterns(
      Object.entries(patterns).map(
        ([pattern, limits]) => [pattern, { pattern, limits: { ...otherwise, ...limits } }] as const,
      ),
    );
  }

  /** `host` is as in a URL: lower case, with a port only if it is not the scheme's. */
  limitsOf(host: string): HostLimits {
    return this.#byPattern.find(host)?.limits ?? this.#otherwise;
  }

  /** The pattern that sets the limits of a host; `undefined` if none does. */
  patternOf(host: string): string | undefined {
    return this.#byPattern.find(host)?.pattern;
  }
}
