import { HOST_GROUPS, type HostGroup } from "../../jobs/host-view.ts";
import type { QueueControl, WaitingHost } from "../../jobs/stores/queue-control.ts";
import type { HostActivity } from "./host-activity.ts";
import type { HostGovernor } from "./host-governor.ts";

export const HOST_SORTS = ["waiting", "running", "failed"] as const;

/** The hosts that a caller wants to see, and their order. */
export interface HostQuery {
  readonly group: HostGroup | undefined;
  /** Only hosts whose name contains this text; empty: all. */
  readonly contains: string;
  readonly sort: (typeof HOST_SORTS)[number];
  readonly limit: number;
}

/** A host with the numbers that order a list. */
export interface ListedHost {
  readonly host: string;
  /** Tasks that wait, also those that the broker has claimed. */
  readonly waiting: number;
  readonly running: number;
  readonly failed: number;
}

/** The start of a block of hosts, which are sorted among themselves. */
type HostBlockStart =
  | { readonly kind: "first" }
  /** The hosts with waiting tasks after this one, by the store's order. */
  | { readonly kind: "waiting"; readonly after: WaitingHost }
  /** The hosts in memory after that many. */
  | { readonly kind: "memory"; readonly offset: number };

/** A place in the list: so many hosts of a block precede it. */
export interface HostPosition {
  readonly block: HostBlockStart;
  readonly index: number;
}

interface HostDirectoryDeps {
  readonly governor: Pick<HostGovernor, "hosts" | "status">;
  readonly activity: Pick<HostActivity, "hosts" | "failing" | "of">;
  readonly control: Pick<QueueControl, "waitingHosts" | "waitingOf">;
  /** The number of running downloads by host. */
  readonly running: () => ReadonlyMap<string, number>;
  /** The number of tasks of a host that the broker has claimed and no worker has. */
  readonly claimedAhead: (host: string) => number;
}

/** Hosts of each source that one block has at most. So the work of a page does not grow with the number of hosts. */
const BLOCK_HOSTS = 200;
const START: HostPosition = { block: { kind: "first" }, index: 0 };

interface Block {
  readonly hosts: readonly ListedHost[];
  readonly next: HostBlockStart | undefined;
}

/**
 * Lists the known hosts page by page: those with waiting tasks, which queue.db has in order, and those in memory. There
 * may be half a million of them, so a page sorts one block. The first block has the hosts that come first by any sort;
 * the store's order by waiting tasks follows, and then the remaining hosts in memory, which wait for no order.
 */
export class HostDirectory {
  readonly #deps: HostDirectoryDeps;

  constructor(deps: HostDirectoryDeps) {
    this.#deps = deps;
  }

  /** The hosts of a page, and the position of the next page. A page may have fewer hosts than its limit. */
  async page(query: HostQuery, position = START): Promise<{ hosts: ListedHost[]; next: HostPosition | undefined }> {
    const { group, sort, limit } = query;
    const block =
      group === "slowed" || group === "closed"
        ? await this.#restrictedBlock(query, group, position.block)
        : await this.#block(query, position.block);
    const sorted = block.hosts.filter(({ host }) => this.#isIn(host, group)).toSorted(BY[sort]);
    const index = position.index + limit;
    if (index < sorted.length) {
      return { hosts: sorted.slice(position.index, index), next: { block: position.block, index } };
    }
    const next = block.next === undefined ? undefined : { block: block.next, index: 0 };
    return { hosts: sorted.slice(position.index), next };
  }

  /** The host with its numbers. `waiting` is its number of waiting tasks in queue.db. */
  listed(host: string, waiting: number, running = this.#deps.running()): ListedHost {
    const { claimedAhead, governor, activity } = this.#deps;
    const runs = running.get(host) ?? 0;
    // Tasks that the broker has claimed, and tasks that a worker is about to start, wait too.
    const starting = Math.max(0, governor.status(host).permitted - runs);
    return {
      host,
      waiting: waiting + claimedAhead(host) + starting,
      running: runs,
      failed: activity.of(host).failed,
    };
  }

  #isIn(host: string, group: HostGroup | undefined): boolean {
    if (group === undefined) return true;
    const states: readonly string[] = HOST_GROUPS[group];
    return states.includes(this.#deps.governor.status(host).state);
  }

  async #restrictedBlock(query: HostQuery, group: "slowed" | "closed", start: HostBlockStart): Promise<Block> {
    const offset = start.kind === "memory" ? start.offset : 0;
    const hosts = part(this.#deps.governor.hosts(group), query.contains, offset);
    return { hosts: await this.#withWaiting(hosts), next: afterMemory(hosts, offset) };
  }

  async #block(query: HostQuery, start: HostBlockStart): Promise<Block> {
    const { control } = this.#deps;
    const { contains } = query;
    if (start.kind === "memory") {
      const hosts = part(this.#inMemory(query), contains, start.offset);
      const waiting = await control.waitingOf(hosts);
      const others = hosts.filter((host) => !waiting.has(host));
      return { hosts: others.map((host) => this.listed(host, 0)), next: afterMemory(hosts, start.offset) };
    }
    const first = part(this.#inMemory(query), contains, 0);
    const after = start.kind === "waiting" ? start.after : undefined;
    const stored = await control.waitingHosts({ after, limit: BLOCK_HOSTS, contains });
    const next: HostBlockStart | undefined =
      stored.next === undefined ? afterMemory(first, 0) : { kind: "waiting", after: stored.next };
    const running = this.#deps.running();
    if (start.kind === "waiting") {
      const shown = new Set([...first, contains]);
      const rest = [...stored.hosts].filter(([host]) => !shown.has(host));
      return { hosts: rest.map(([host, tasks]) => this.listed(host, tasks, running)), next };
    }
    // A name that is given in full is found at once, however many hosts there are.
    const others = new Set([...first, contains].filter((host) => host !== "" && !stored.hosts.has(host)));
    const waiting = await control.waitingOf([...others]);
    if (!first.includes(contains) && !waiting.has(contains)) others.delete(contains);
    const hosts = [...stored.hosts, ...[...others].map((host) => [host, waiting.get(host) ?? 0] as const)];
    return { hosts: hosts.map(([host, tasks]) => this.listed(host, tasks, running)), next };
  }

  async #withWaiting(hosts: readonly string[]): Promise<ListedHost[]> {
    const waiting = await this.#deps.control.waitingOf(hosts);
    const running = this.#deps.running();
    return hosts.map((host) => this.listed(host, waiting.get(host) ?? 0, running));
  }

  /** Every host in memory once, those that come first by the sort at the start. */
  *#inMemory({ sort }: HostQuery): Generator<string> {
    const { activity, governor, running } = this.#deps;
    const failing = sort === "failed" ? activity.failing() : [];
    const busy = [...running()].toSorted(([, a], [, b]) => b - a).map(([host]) => host);
    const first = new Set([...failing, ...busy, ...activity.hosts().toReversed()]);
    yield* first;
    for (const host of governor.hosts()) if (!first.has(host)) yield host;
  }
}

const byName = (a: ListedHost, b: ListedHost) => (a.host < b.host ? -1 : 1);

const BY: Readonly<Record<HostQuery["sort"], (a: ListedHost, b: ListedHost) => number>> = {
  waiting: (a, b) => b.waiting - a.waiting || b.running - a.running || byName(a, b),
  running: (a, b) => b.running - a.running || b.waiting - a.waiting || byName(a, b),
  failed: (a, b) => b.failed - a.failed || b.waiting - a.waiting || byName(a, b),
};

/** The next hosts whose names contain a text, after `offset` of them. */
function part(hosts: Iterable<string>, contains: string, offset: number): string[] {
  const found: string[] = [];
  let skipped = 0;
  for (const host of hosts) {
    if (!host.includes(contains)) continue;
    if (skipped++ < offset) continue;
    found.push(host);
    if (found.length === BLOCK_HOSTS) break;
  }
  return found;
}

function afterMemory(hosts: readonly string[], offset: number): HostBlockStart | undefined {
  return hosts.length < BLOCK_HOSTS ? undefined : { kind: "memory", offset: offset + BLOCK_HOSTS };
}
