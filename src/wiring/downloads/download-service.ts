import type { Config, ProxyConfig } from "../../config/schema.ts";
import { readCaFile } from "../../config/values/ca-file.ts";
import type { ObjectStore } from "../../jobs/object-store.ts";
import type { QueueParts } from "../../jobs/stores/queue-parts.ts";
import { basicAuthorization } from "../../net/basic-authorization.ts";
import type { EgressPolicy } from "../../net/egress-policy.ts";
import type { Tracer } from "../../net/tracer.ts";
import type { Clock } from "../../std/clock.ts";
import type { BucketHealth } from "../../storage/bucket-health.ts";
import type { KeyGuard } from "../../storage/key-guard.ts";
import { attemptSpans } from "../../telemetry/attempt-spans.ts";
import type { ConfiguredHeaders } from "../../worker/configured-headers.ts";
import { type Descriptors, descriptorGuard } from "../../worker/descriptors.ts";
import type { ActiveDownloads } from "../../worker/download/active-downloads.ts";
import { download } from "../../worker/download/download.ts";
import { type ProxyEndpoint, type ProxyPool, ProxyPools, type ProxyServer } from "../../worker/download/proxies.ts";
import type { HostActivity } from "../../worker/hosts/host-activity.ts";
import type { HostGovernor } from "../../worker/hosts/host-governor.ts";
import { hostPermit } from "../../worker/hosts/host-permit.ts";
import { type RateWaits, rateLimit } from "../../worker/hosts/rate-limit.ts";
import { createAddresses } from "../../worker/names/addresses.ts";
import type { OverdueAttempts } from "../../worker/overdue-attempts.ts";
import type { SecretMask } from "../../worker/secret-mask.ts";
import { compose, type Service } from "../../worker/service.ts";
import { storageGate } from "../../worker/storage-gate.ts";
import { timeout } from "../../worker/timeout.ts";
import type { Network } from "./network.ts";

interface DownloadServiceDeps {
  readonly config: Pick<Config, "download" | "queue" | "proxies" | "tls">;
  readonly network: Network;
  readonly configuredHeaders: ConfiguredHeaders;
  readonly secrets: SecretMask;
  readonly version: string;
  readonly store: ObjectStore;
  readonly queue: Pick<QueueParts, "settlements" | "orphans">;
  readonly keys: KeyGuard;
  readonly policy: EgressPolicy;
  readonly governor: HostGovernor;
  readonly activity: HostActivity;
  readonly buckets: BucketHealth;
  readonly descriptors: Descriptors;
  readonly active: ActiveDownloads;
  readonly overdue: OverdueAttempts;
  readonly clock: Clock;
  readonly tracer: Tracer;
  readonly rateWaits: RateWaits;
  readonly onProxyFailure: (pool: string) => void;
  readonly onProxyRest: (endpoint: ProxyEndpoint, ms: number, reason: string) => void;
}

/** Makes a function that makes each worker's service: the download in its layers, the outermost first. */
export function createDownloadService(deps: DownloadServiceDeps): () => Service {
  const { config, clock, network } = deps;
  const innermost = download({
    http: network.http,
    addresses: createAddresses({ policy: deps.policy, resolve: network.resolve }),
    resolve: network.resolve,
    ca: readCaFile(config.tls.ca_file),
    connectTimeoutMs: config.download.connect_timeout_ms,
    headTimeoutMs: config.download.head_timeout_ms,
    idleTimeoutMs: config.download.idle_timeout_ms,
    userAgent: config.download.user_agent.replaceAll("{version}", deps.version),
    configuredHeaders: deps.configuredHeaders,
    secrets: deps.secrets,
    maxRedirects: config.download.max_redirects,
    allowDowngrade: config.download.allow_downgrade,
    maxBytes: config.download.max_bytes,
    minBytesPerSecond: config.download.min_bytes_per_second,
    proxies: new ProxyPools(proxyPools(config.proxies), clock, deps.onProxyRest),
    store: deps.store,
    recordUpload: ({ id, claimId }, upload) => deps.queue.settlements.recordUpload({ ...upload, task: id, claimId }),
    tokenOf: (claimed) => (deps.store.storesLate ? deps.queue.orphans.tokenOf(claimed) : undefined),
    keys: deps.keys,
    active: deps.active,
    onProxyFailure: deps.onProxyFailure,
    startSpan: attemptSpans(deps.tracer),
    clock,
  });
  return () =>
    compose(
      [
        rateLimit(config.queue.rate_limit_per_worker, clock, deps.rateWaits),
        hostPermit(deps.governor, deps.activity, clock),
        storageGate(deps.buckets),
        timeout(config.queue.task_timeout_ms, clock, deps.overdue),
        descriptorGuard(deps.descriptors),
      ],
      innermost,
    );
}

function proxyPools(proxies: Config["proxies"]): ReadonlyMap<string, ProxyPool> {
  return new Map(
    Object.entries(proxies).map(([name, { endpoints, fallbacks }]) => [
      name,
      { fallbacks, endpoints: endpoints.map(endpointOf) },
    ]),
  );
}

function endpointOf({ credentials: secrets, ...server }: ProxyConfig["endpoints"][number]): ProxyServer {
  if (secrets === undefined) return { ...server, authorization: undefined, credentials: undefined };
  const credentials = { username: secrets.username.reveal(), password: secrets.password.reveal() };
  if (server.kind === "socks5") return { ...server, authorization: undefined, credentials };
  const authorization = basicAuthorization(credentials.username, credentials.password);
  return { ...server, authorization, credentials: undefined };
}
