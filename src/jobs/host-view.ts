/**
 * How a host is treated. `slowed`: fewer downloads at once after complaints; `rate`: its starts are limited per second;
 * `waiting`: it asked for a pause; `breaker`: it is left alone after failures; `probing`: one download tries it.
 */
export const HOST_STATES = ["open", "slowed", "rate", "waiting", "breaker", "probing"] as const;
export type HostStateName = (typeof HOST_STATES)[number];

/** States in groups, as operators filter them. `closed`: no download may start, or one alone tests the host. */
export const HOST_GROUPS = {
  open: ["open", "rate"],
  slowed: ["slowed"],
  closed: ["waiting", "breaker", "probing"],
} as const satisfies Readonly<Record<string, readonly HostStateName[]>>;
export type HostGroup = keyof typeof HOST_GROUPS;

/** Whether tasks of the host wait for its end, a probe aside. */
export function isClosed(state: HostStateName): state is (typeof HOST_GROUPS.closed)[number] {
  return HOST_GROUPS.closed.some((one) => one === state);
}

/** Whether no download from the host may start in this state. */
export function isShut(state: HostStateName): boolean {
  return state === "waiting" || state === "breaker";
}

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

/** The numbers of a host that its state is made of. */
export interface HostStatus extends HostView {
  /** The pattern of `[download.hosts]` that sets its limits; `undefined` for the limits of all hosts. */
  readonly rule: string | undefined;
  /** Downloads that may run at once now; 0 while the host is closed. */
  readonly limit: number;
  /** The limit after complaints, as a fraction; a pause or a breaker does not change it. */
  readonly currentLimit: number;
  /** Downloads that have a permit. */
  readonly permitted: number;
  readonly closedForMs: number;
  readonly failuresInARow: number;
  /** How long no probe has reached the host, in milliseconds; `undefined` while its breaker is closed. */
  readonly unavailableMs: number | undefined;
}
