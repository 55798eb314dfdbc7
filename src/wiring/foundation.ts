import { networkInterfaces } from "node:os";
import type { AuthSettings } from "../api/http/access.ts";
import type { Config } from "../config/schema.ts";
import type { Command } from "../intake/manifest/stored-manifest.ts";
import type { ObjectStore } from "../jobs/object-store.ts";
import type { Stores } from "../jobs/stores/service-stores.ts";
import type { StoreError } from "../jobs/stores/store-error.ts";
import { PRUNED } from "../maintenance/retention.ts";
import { createEgressPolicy, type EgressPolicy, listensOn } from "../net/egress-policy.ts";
import type { Tracer } from "../net/tracer.ts";
import { COUNTERS } from "../sqlite/counters.ts";
import { openStores, type SqliteStores } from "../sqlite/stores.ts";
import type { Clock } from "../std/clock.ts";
import type { Reach } from "../std/failpoint.ts";
import { KeyGuard } from "../storage/key-guard.ts";
import type { CredentialSource } from "../storage/s3/credentials/credential-source.ts";
import type { GaugeReads } from "../telemetry/gauges.ts";
import type { Log } from "../telemetry/log.ts";
import { createMetrics, type Metrics } from "../telemetry/metrics.ts";
import { Descriptors, readDescriptorLimit } from "../worker/descriptors.ts";
import { ActiveDownloads } from "../worker/download/active-downloads.ts";
import { createDiskReport } from "./disk-report.ts";
import { createNetwork, type Network } from "./downloads/network.ts";
import { ComponentErrors } from "./health-wiring.ts";
import { shownDepth } from "./shown-depth.ts";
import { failpointStore } from "./storage/failpoint-store.ts";
import { openObjectStore } from "./storage/open-object-store.ts";

export interface FoundationDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly version: string;
  readonly tracer: Tracer;
  /** The keys of S3 storage; `undefined` where storage is local. */
  readonly credentials: CredentialSource | undefined;
  /** The command that accepts jobs where no service does, as `fetchbox run`. */
  readonly command?: Command;
  /** For crash tests: no commit is synced. */
  readonly isUnsafe?: boolean;
  /** For crash tests: called with the name of each step that is passed. */
  readonly reach?: Reach;
}

/** The parts that every stage of the service shares. */
export interface Foundation extends FoundationDeps {
  readonly stores: Stores;
  readonly store: ObjectStore;
  /** Removes temporary files of a process that died and resolves to their number. For the start. */
  readonly sweepStorage: () => Promise<number>;
  readonly closeStorage: () => Promise<void>;
  /** Resolves when the content of a store has become unknown. */
  readonly broken: Promise<StoreError>;
  readonly metrics: Metrics;
  readonly disks: GaugeReads["disks"];
  readonly componentErrors: ComponentErrors;
  readonly network: Network;
  readonly descriptors: Descriptors;
  /** Sets the listener that is called when there are enough descriptors again. */
  readonly onEnoughDescriptors: (listener: () => void) => void;
  /** Closes idle connections of the API's clients while descriptors are short. */
  readonly clients: { dropIdle: () => void };
  readonly policy: EgressPolicy;
  /** The address of the API as far as it is known. No download may go there. */
  readonly own: { readonly host: string; port: number };
  /** The access rules of the API. A reload can replace the tokens. */
  readonly access: AuthSettings;
  readonly active: ActiveDownloads;
  /** Keeps attempts and the removal of orphans apart. */
  readonly keys: KeyGuard;
  /** Logs that queue.db cannot be written, once for each new reason. */
  readonly onQueueError: (error: unknown) => void;
  /** Aborted when the process stops waiting for work that is under way. */
  readonly stopping: AbortController;
}

/** Opens the stores and the storage. @throws StoreError, StoreLockedError; then no store stays open */
export function openFoundation(config: Config, deps: FoundationDeps): Foundation {
  const { log, clock, version } = deps;
  const componentErrors = new ComponentErrors();
  const onQueueError = (error: unknown) => {
    if (componentErrors.note("queue", error)) log.error({ err: error }, "queue.db cannot be written; retrying");
  };
  const active = new ActiveDownloads();
  const broken = Promise.withResolvers<StoreError>();
  const diskReport = createDiskReport(config, () => stores.installation);
  const metrics = createMetrics({
    version,
    queueDepth: () => shownDepth(stores.queue.control, active),
    ...(config.dlq.enable_metrics && { dlqSize: () => stores.deadLetters.size() }),
    workersBusy: () => active.count,
    orphans: () => stores.queue.orphans.counts(),
    isPaused: () => stores.queue.control.isPaused(),
    oldestDueMs: () => stores.queue.control.oldestPendingAgeMs(),
    ...diskReport,
    labels: {
      jobTypes: Object.keys(config.handlers),
      pools: Object.keys(config.proxies),
      pruned: PRUNED,
      counters: COUNTERS,
    },
  });
  const onBroken = (error: StoreError) => broken.resolve(error);
  const stores = openReportingStores(config, deps, { metrics, componentErrors, onQueueError, onBroken });
  const own = { ...config.server.bind_addr };
  const clients = { dropIdle: () => {} };
  const enough = { wake: () => {} };
  const descriptors: Descriptors = createDescriptors(deps, {
    relieve: () => {
      network.http.dropIdle();
      clients.dropIdle();
    },
    onEnough: () => enough.wake(),
  });
  const network = createNetwork(config, clock, descriptors);
  const { credentials, reach } = deps;
  const objects = openObjectStore(config, stores.installation, { network, credentials });
  return {
    ...deps,
    stores,
    broken: broken.promise,
    store: reach === undefined ? objects.store : failpointStore(objects.store, reach),
    sweepStorage: objects.sweep,
    closeStorage: objects.close,
    network,
    descriptors,
    onEnoughDescriptors: (listener) => {
      enough.wake = listener;
    },
    clients,
    metrics,
    disks: diskReport.disks,
    componentErrors,
    policy: createEgressPolicy({
      allowPrivate: config.egress.allow_private,
      isOwn: (ip, port) => port === own.port && listensOn(own, interfaceAddresses)(ip, port),
    }),
    own,
    access: { ...config.server.auth },
    active,
    keys: new KeyGuard(),
    onQueueError,
    stopping: new AbortController(),
  };
}

interface StoreReports extends Pick<Foundation, "metrics" | "componentErrors" | "onQueueError"> {
  readonly onBroken: (error: StoreError) => void;
}

/** The stores, which report their commits and errors to the log, the metrics and the health of the components. */
function openReportingStores(
  config: Config,
  { log, clock, version, isUnsafe, reach }: FoundationDeps,
  { metrics, componentErrors, onQueueError, onBroken }: StoreReports,
): Stores {
  const stores: SqliteStores = openStores({
    queuePath: config.queue.path,
    ledgerPath: config.ledger.path,
    dlqPath: config.dlq.path,
    clock,
    onLag: ({ path }, error) => {
      const isNew = componentErrors.note(path === stores.ledger.projection.path ? "ledger" : "dlq", error);
      if (isNew) log.error({ err: error, store: path }, "a store cannot be written; it gets its events later");
    },
    onDelivered: () => componentErrors.clearProjections(),
    onCommit: (durationMs) => {
      componentErrors.clear("queue");
      metrics.commit(durationMs / 1000);
    },
    onDrift: (counter) => {
      metrics.counterRebuilt(counter);
      log.error({ counter }, "a counter was wrong and has been recounted; fetchbox verify checks all counters");
    },
    ...(config.queue.upgrade_backup && {
      upgradeBackup: {
        version,
        onBackup: (folder) => log.info({ folder }, "this version upgrades the stores; backing them up first"),
      },
    }),
    ...(isUnsafe === true && { isUnsafe: true }),
    onFull: onQueueError,
    onBroken,
    ...(reach !== undefined && { reach }),
  });
  return stores;
}

/** The budget of file descriptors, which logs when it runs short and when there are enough again. */
function createDescriptors(
  { log, clock }: Pick<FoundationDeps, "log" | "clock">,
  { relieve, onEnough }: { readonly relieve: () => void; readonly onEnough: () => void },
): Descriptors {
  return new Descriptors({
    clock,
    limit: readDescriptorLimit(),
    onShort: (problem) => log.error(problem),
    relieve,
    onEnough: () => {
      log.info("there are enough file descriptors again");
      onEnough();
    },
  });
}

function interfaceAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) => addresses?.map(({ address }) => address) ?? []);
}
