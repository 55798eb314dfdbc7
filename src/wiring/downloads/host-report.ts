import type { HostEndpointsDeps } from "../../api/endpoints/traffic/host-endpoints.ts";
import { isoTimeOrNull } from "../../api/http/iso-time.ts";
import type { HostRow } from "../../api/openapi/traffic-schemas.ts";
import type { HostRecord } from "../../jobs/host-record.ts";
import { type HostStatus, isShut } from "../../jobs/host-view.ts";
import type { DeadLetterReads } from "../../jobs/stores/dead-letter-reads.ts";
import type { QueueParts } from "../../jobs/stores/queue-parts.ts";
import type { Clock } from "../../std/clock.ts";
import type { ActiveDownloads } from "../../worker/download/active-downloads.ts";
import { HostDirectory, type ListedHost } from "../../worker/hosts/host-directory.ts";
import type { Work } from "../work.ts";

interface HostReportDeps {
  readonly work: Pick<Work, "broker" | "hosts">;
  readonly queue: Pick<QueueParts, "control" | "hosts" | "source">;
  readonly deadLetters: Pick<DeadLetterReads, "count">;
  readonly active: ActiveDownloads;
  readonly clock: Pick<Clock, "now">;
}

/** The hosts as the API shows them, and the test of a closed host. */
export function createHostReports(deps: HostReportDeps): HostEndpointsDeps["hosts"] {
  const { work, queue, active } = deps;
  const { governor, activity } = work.hosts;
  const directory = new HostDirectory({
    governor,
    activity,
    control: queue.control,
    running: () => active.byHost(),
    claimedAhead: (host) => work.broker.aheadOf(host),
  });
  const find = async (host: string) => {
    const [waiting, record, letters] = await Promise.all([
      queue.control.waitingOf([host]),
      queue.hosts.find(host),
      deps.deadLetters.count({ host }),
    ]);
    const listed = directory.listed(host, waiting.get(host) ?? 0);
    const isKnown =
      listed.waiting + listed.running + letters > 0 || record !== undefined || governor.has(host) || activity.has(host);
    return isKnown ? rowOf(deps, listed, letters, record) : undefined;
  };
  return {
    async page(query, from) {
      const { hosts, next } = await directory.page(query, from);
      const letters = await Promise.all(hosts.map(({ host }) => deps.deadLetters.count({ host })));
      return { hosts: hosts.map((listed, at) => rowOf(deps, listed, letters[at] ?? 0)), next };
    },
    find,
    async reopen(host) {
      const record = await queue.hosts.find(host);
      if (isShut(governor.status(host, record).state)) {
        // First the write that may fail: a closed host gets no task until it is reopened.
        await queue.source.bringForward(host);
        governor.reopen(host, record);
        await work.hosts.note();
      }
      return find(host);
    },
  };
}

function rowOf(
  { work, clock }: HostReportDeps,
  { host, waiting, running }: ListedHost,
  letters: number,
  record?: HostRecord,
): HostRow {
  const status = work.hosts.governor.status(host, record);
  const figures = work.hosts.activity.of(host);
  return {
    host,
    waiting,
    running,
    ...limitsOf(status),
    state: status.state,
    closed_for_ms: Math.round(status.closedForMs),
    failures_in_a_row: status.failuresInARow,
    unavailable_since: isoTimeOrNull(
      status.unavailableMs === undefined ? null : Math.round(clock.now() - status.unavailableMs),
    ),
    rate_per_second: status.ratePerSecond,
    rule: status.rule ?? null,
    completed_5m: figures.completed,
    failed_5m: figures.failed,
    bytes_5m: figures.bytes,
    dead_letters: letters,
  };
}

function limitsOf(status: HostStatus): Pick<HostRow, "limit" | "configured_limit" | "current_limit"> {
  return {
    limit: status.limit,
    configured_limit: status.maxConcurrency,
    current_limit: Math.round(status.currentLimit * 100) / 100,
  };
}
