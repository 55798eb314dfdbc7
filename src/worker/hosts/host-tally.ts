import { HOST_GROUPS, HOST_STATES, type HostGroup, type HostStateName } from "../../jobs/host-view.ts";
import type { HostMachine } from "./host-machine.ts";

/** The number of hosts in each state. */
export type HostCounts = Readonly<Record<HostStateName, number>>;

type MachineOf = (host: string) => HostMachine | undefined;

interface Noted {
  readonly state: HostStateName;
  /** The second in which a deadline ends the state; `undefined` if only an event ends it. */
  readonly endsIn: number | undefined;
}

/** Notes of states without a deadline. Each download of a new host needs one, so they are made once. */
const LASTING = ofEach((state): Noted => ({ state, endsIn: undefined }));

/**
 * Counts hosts by state without a walk over them. A deadline ends some states without a call, so the tally files these
 * hosts by the second in which that happens. Its figures are up to a second late.
 */
export class HostTally {
  readonly #noted = new Map<string, Noted>();
  readonly #ends = new Map<number, Set<string>>();
  readonly #counts: Record<HostStateName, number> = ofEach(() => 0);
  /** The hosts in each state of a restriction, in the order in which they came into it. */
  readonly #members: Readonly<Record<HostStateName, Set<string> | undefined>> = ofEach((state) =>
    (HOST_GROUPS.open as readonly HostStateName[]).includes(state) ? undefined : new Set(),
  );

  /** Notes the present state of a host. To be called when the state may have changed. */
  note(host: string, machine: Pick<HostMachine, "stateAt" | "endOf">, now: number): void {
    const state = machine.stateAt(now);
    const endsAt = machine.endOf(state);
    const endsIn = endsAt === undefined ? undefined : Math.ceil(endsAt / 1000);
    const before = this.#noted.get(host);
    if (before?.state === state && before.endsIn === endsIn) return;
    if (before !== undefined) this.forget(host);
    this.#counts[state]++;
    this.#members[state]?.add(host);
    if (endsIn === undefined) return void this.#noted.set(host, LASTING[state]);
    this.#noted.set(host, { state, endsIn });
    const hosts = this.#ends.get(endsIn);
    if (hosts === undefined) this.#ends.set(endsIn, new Set([host]));
    else hosts.add(host);
  }

  /** Notes that a host is no longer in memory. */
  forget(host: string): void {
    const noted = this.#noted.get(host);
    if (noted === undefined) return;
    this.#noted.delete(host);
    this.#counts[noted.state]--;
    this.#members[noted.state]?.delete(host);
    if (noted.endsIn === undefined) return;
    const hosts = this.#ends.get(noted.endsIn);
    hosts?.delete(host);
    if (hosts?.size === 0) this.#ends.delete(noted.endsIn);
  }

  /** The counts. `machineOf` gives the new states of the hosts whose deadline has passed. */
  counts(now: number, machineOf: MachineOf): HostCounts {
    this.#passDeadlines(now, machineOf);
    return { ...this.#counts };
  }

  /** The hosts with a restriction of a group. */
  *restricted(group: Exclude<HostGroup, "open">, now: number, machineOf: MachineOf): Generator<string> {
    this.#passDeadlines(now, machineOf);
    for (const state of HOST_GROUPS[group]) yield* this.#members[state] ?? [];
  }

  /** Notes the new states of the hosts whose deadline has passed. */
  #passDeadlines(now: number, machineOf: MachineOf): void {
    // The longest state lasts an hour, so there are at most some thousand seconds.
    for (const [second, hosts] of this.#ends) {
      if (second * 1000 > now) continue;
      for (const host of hosts) {
        const machine = machineOf(host);
        if (machine !== undefined) this.note(host, machine, now);
      }
    }
  }
}

function ofEach<T>(make: (state: HostStateName) => T): Record<HostStateName, T> {
  return Object.fromEntries(HOST_STATES.map((state) => [state, make(state)])) as Record<HostStateName, T>;
}
