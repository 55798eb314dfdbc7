import { lookup } from "node:dns/promises";
import type { Config } from "../config/schema.ts";
import type { Clock } from "../jobs/clock.ts";
import type { EgressPolicy } from "../jobs/egress-policy.ts";
import type { ObjectStore } from "../jobs/object-store.ts";
import type { Tracer } from "../jobs/tracer.ts";
import type { TaskQueue } from "../sqlite/queue.ts";
import { attemptSpans } from "../telemetry/attempt-spans.ts";
import type { ActiveDownloads } from "../worker/active-downloads.ts";
import { createAddresses } from "../worker/addresses.ts";
import { download } from "../worker/download.ts";
import type { HostGovernor } from "../worker/host-governor.ts";
import { hostPermit } from "../worker/host-permit.ts";
import type { OverdueAttempts } from "../worker/overdue-attempts.ts";
import { type ProxyEndpoint, type ProxyPool, ProxyPools } from "../worker/proxies.ts";
import { QuickHosts } from "../worker/quick-hosts.ts";
import { rateLimit } from "../worker/rate-limit.ts";
import { compose, type Service } from "../worker/service.ts";
import { type StorageGate, storageGate } from "../worker/storage-gate.ts";
import { timeout } from "../worker/timeout.ts";
import { ClosingHosts } from "../worker/until-close.ts";

export interface DownloadServiceDeps {
  readonly config: Pick<Config, "download" | "queue" | "proxies">;
  readonly version: string;
  readonly store: ObjectStore;
  readonly queue: Pick<TaskQueue, "recordUpload">;
  readonly policy: EgressPolicy;
  readonly governor: HostGovernor;
  readonly gate: StorageGate;
  readonly active: ActiveDownloads;
  readonly overdue: OverdueAttempts;
  readonly clock: Clock;
  readonly tracer: Tracer;
  readonly onProxyFailure: (pool: string) => void;
  readonly onProxyRest: (endpoint: ProxyEndpoint, ms: number) => void;
}

/** More than any sane answer has; Bun itself gives up at about 1.5 MB. */
const HEADER_BYTES_MAX = 64 * 1024;

/** Makes one worker's service: the download in its layers, the outermost first. */
export function createDownloadService(deps: DownloadServiceDeps): () => Service {
  const { config, clock } = deps;
  const innermost = download({
    addresses: createAddresses({ policy: deps.policy, lookup: lookUp, clock }),
    connectTimeoutMs: config.download.connect_timeout_ms,
    idleTimeoutMs: config.download.idle_timeout_ms,
    headerBytesMax: HEADER_BYTES_MAX,
    closingHosts: new ClosingHosts(),
    quickHosts: new QuickHosts(),
    userAgent: config.download.user_agent.replaceAll("{version}", deps.version),
    maxRedirects: config.download.max_redirects,
    allowDowngrade: config.download.allow_downgrade,
    maxBytes: config.download.max_bytes,
    minBytesPerSecond: config.download.min_bytes_per_second,
    proxies: new ProxyPools(proxyPools(config.proxies), clock, deps.onProxyRest),
    store: deps.store,
    recordUpload: ({ id, claimId }, upload) => deps.queue.recordUpload({ ...upload, task: id, claimId }),
    active: deps.active,
    onProxyFailure: deps.onProxyFailure,
    startSpan: attemptSpans(deps.tracer),
    clock,
  });
  return () =>
    compose(
      [
        rateLimit(config.queue.rate_limit_per_worker, clock),
        hostPermit(deps.governor, clock),
        storageGate(deps.gate),
        timeout(config.queue.task_timeout_ms, clock, deps.overdue),
      ],
      innermost,
    );
}

async function lookUp(name: string): Promise<readonly string[]> {
  return (await lookup(name, { all: true })).map(({ address }) => address);
}

function proxyPools(proxies: Config["proxies"]): ReadonlyMap<string, ProxyPool> {
  return new Map(
    Object.entries(proxies).map(([name, { endpoints, fallbacks }]) => [
      name,
      {
        fallbacks,
        endpoints: endpoints.map(({ url, credentials }) => ({
          url,
          authorization:
            credentials === undefined ? undefined : `Basic ${Buffer.from(credentials.reveal()).toString("base64")}`,
        })),
      },
    ]),
  );
}
