/**
 * How a host is treated. `slowed`: fewer downloads at once after complaints; `rate`: its starts are limited per second;
 * `waiting`: it asked for a pause; `breaker`: it is left alone after failures; `probing`: one download tries it.
 */
export const HOST_STATES = ["open", "slowed", "rate", "waiting", "breaker", "probing"] as const;
export type HostStateName = (typeof HOST_STATES)[number];

/** A host as an operator sees it. */
export interface HostView {
  readonly state: HostStateName;
  /** Downloads that the configuration permits at once. */
  readonly maxConcurrency: number;
  /** Downloads that the configuration permits per second; 0 = no limit. */
  readonly ratePerSecond: number;
  /** The failure code behind the state, where there is one and this process heard it. */
  readonly code: string | undefined;
  /** How long ago it was slowed down, in milliseconds; `undefined` while it is not slow. */
  readonly slowedMsAgo: number | undefined;
}
