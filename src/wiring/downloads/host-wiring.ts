import type { Config } from "../../config/schema.ts";
import { ExpireUnavailableHosts } from "../../maintenance/expire-unavailable.ts";
import type { PeriodicTask } from "../../std/clock.ts";
import { HostActivity } from "../../worker/hosts/host-activity.ts";
import { HostGovernor } from "../../worker/hosts/host-governor.ts";
import { type HostLimits, HostRules } from "../../worker/hosts/host-rules.ts";
import type { Settle } from "../../worker/settle.ts";
import type { Foundation } from "../foundation.ts";

/** The interval for changes that are not urgent. Urgent ones share a commit with their settlement. */
const NOTE_EVERY_MS = 5000;
const EXPIRE_EVERY_MS = 5000;

export interface Hosts {
  readonly governor: HostGovernor;
  readonly activity: HostActivity;
  /** Writes changes to queue.db; after a failure the next call writes them. */
  readonly note: () => Promise<void>;
  /** Reads the hosts that an earlier process knew; to be called after `recover`. */
  readonly restore: () => Promise<void>;
  /** Takes other limits, which apply from the next start of a download. */
  readonly setLimits: (download: Pick<Config["download"], "host" | "hosts">) => void;
}

/** The host governor and its records in queue.db. */
export function createHosts(
  download: Config["download"],
  { stores: { queue }, clock, onQueueError }: Pick<Foundation, "stores" | "clock" | "onQueueError">,
  onFree: () => void,
): Hosts {
  let noting: Promise<void> | undefined;
  const note = () => {
    noting ??= queue.hosts
      .note(() => governor.takeChanges())
      .catch((error: unknown) => {
        governor.changesAreLost();
        onQueueError(error);
      })
      .finally(() => {
        noting = undefined;
      });
    return noting;
  };
  const governor: HostGovernor = new HostGovernor({
    rules: rulesOf(download),
    clock,
    onFree,
    onClosed: () => void note(),
  });
  return {
    governor,
    activity: new HostActivity(clock),
    note,
    restore: async () => governor.restore(await queue.hosts.known()),
    setLimits: (changed) => governor.setRules(rulesOf(changed)),
  };
}

function rulesOf({ host, hosts }: Pick<Config["download"], "host" | "hosts">): HostRules {
  return new HostRules(
    limitsOf(host),
    Object.fromEntries(Object.entries(hosts).map(([name, some]) => [name, limitsOf(some)])),
  );
}

export function hostTasks(
  { governor, note }: Hosts,
  settle: Settle,
  maxThrottleMs: number,
  { stores: { queue }, clock, onQueueError }: Pick<Foundation, "stores" | "clock" | "onQueueError">,
): PeriodicTask[] {
  const unavailable = (ms: number) => governor.unavailable(ms);
  const unreachable = new ExpireUnavailableHosts({ queue, unavailable, settle, maxThrottleMs, clock });
  return [
    { everyMs: NOTE_EVERY_MS, run: () => (governor.hasChanges ? note() : undefined) },
    {
      everyMs: EXPIRE_EVERY_MS,
      run: (signal) =>
        unreachable.run(signal).catch((error: unknown) => {
          if (!signal.aborted) onQueueError(error);
        }),
    },
  ];
}

/** The limits of a configuration table; an override may leave some out. */
function limitsOf(host: Config["download"]["host"]): HostLimits;
function limitsOf(host: Config["download"]["hosts"][string]): Partial<HostLimits>;
function limitsOf(host: Partial<Config["download"]["host"]>): Partial<HostLimits> {
  return {
    ...(host.max_concurrency !== undefined && { maxConcurrency: host.max_concurrency }),
    ...(host.rate_per_second !== undefined && { ratePerSecond: host.rate_per_second }),
    ...(host.breaker_failures !== undefined && { breakerFailures: host.breaker_failures }),
  };
}
