import { networkInterfaces } from "node:os";
import type { AuthSettings } from "../api/http/access.ts";
import type { Config } from "../config/schema.ts";
import type { Command } from "../intake/manifest/stored-manifest.ts";
import type { ObjectStore } from "../jobs/object-store.ts";
import type { StoreError } from "../jobs/stores/store-error.ts";
import { createEgressPolicy, type EgressPolicy, listensOn } from "../net/egress-policy.ts";
import type { Tracer } from "../net/tracer.ts";
import { openStores, type Stores } from "../sqlite/stores.ts";
import type { Clock } from "../std/clock.ts";
import type { Reach } from "../std/failpoint.ts";
import { KeyGuard } from "../storage/key-guard.ts";
import type { CredentialSource } from "../storage/s3/credentials/credential-source.ts";
import type { Log } from "../telemetry/log.ts";
import { createMetrics, type Metrics } from "../telemetry/metrics.ts";
import { Descriptors, readDescriptorLimit } from "../worker/descriptors.ts";
import { ActiveDownloads } from "../worker/download/active-downloads.ts";
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
  /** The keys of S3 storage; none where storage is local. */
  readonly credentials: CredentialSource | undefined;
  /** The command that takes jobs, where it is no service. */
  readonly command?: Command;
  /** For crash tests: nothing is synced. */
  readonly isUnsafe?: boolean;
  /** For crash tests: told of the steps that are passed. */
  readonly reach?: Reach;
}

/** What every stage stands on. */
export interface Foundation extends FoundationDeps {
  readonly stores: Stores;
  readonly store: ObjectStore;
  /** Removes temporaries of a process that died, and returns how many; for start-up. */
  readonly sweepStorage: () => Promise<number>;
  readonly closeStorage: () => Promise<void>;
  /** Resolves when nobody knows any more what is in a store. */
  readonly broken: Promise<StoreError>;
  readonly metrics: Metrics;
  readonly componentErrors: ComponentErrors;
  readonly network: Network;
  readonly descriptors: Descriptors;
  /** Says who hears that there are enough descriptors again. */
  readonly onEnoughDescriptors: (listener: () => void) => void;
  /** Connections of the API's clients, which are closed where they are idle while there are too few descriptors. */
  readonly clients: { dropIdle: () => void };
  readonly policy: EgressPolicy;
  /** Where the API listens, as far as it is known: no download may go there. */
  readonly own: { readonly host: string; port: number };
  /** Who may call the API; its tokens can be replaced. */
  readonly access: AuthSettings;
  readonly active: ActiveDownloads;
  /** Keeps attempts and the removal of orphans apart. */
  readonly keys: KeyGuard;
  readonly onQueueTrouble: (error: unknown) => void;
  /** Aborted when the process gives up what is still under way. */
  readonly stopping: AbortController;
}

/** Opens the stores and the storage. @throws StoreError, StoreLockedError; then nothing stays open */
export function layFoundation(config: Config, deps: FoundationDeps): Foundation {
  const { log, clock, version } = deps;
  const troubles = new ComponentErrors();
  const onQueueTrouble = (error: unknown) => {
    if (troubles.note("queue", error)) log.error({ err: error }, "queue.db could not be written; trying again");
  };
  const active = new ActiveDownloads();
  const broken = Promise.withResolvers<StoreError>();
  const metrics = createMetrics({
    version,
    queueDepth: () => shownDepth(stores.queue.control, active),
    ...(config.dlq.enable_metrics && { dlqSize: () => stores.deadLetters.size() }),
    workersBusy: () => active.count,
    orphans: () => stores.queue.orphans.counts(),
  });
  const stores: Stores = openStores({
    queuePath: config.queue.path,
    ledgerPath: config.ledger.path,
    dlqPath: config.dlq.path,
    clock,
    onLag: (follower, error) => {
      const isNews = troubles.note(follower.path === stores.ledger.follower.path ? "ledger" : "dlq", error);
      if (isNews) log.error({ err: error, store: follower.path }, "a store could not be written; it follows later");
    },
    onCommit: (durationMs) => {
      troubles.clear("queue");
      metrics.commit(durationMs / 1000);
    },
    onDrift: (counter) => {
      metrics.counterRebuilt(counter);
      log.error({ counter }, "a counter was wrong: it has been counted anew; fetchbox verify checks all of them");
    },
    ...(deps.isUnsafe === true && { isUnsafe: true }),
    onFull: (error) => onQueueTrouble(error),
    onBroken: (error) => broken.resolve(error),
    ...(deps.reach !== undefined && { reach: deps.reach }),
  });
  const own = { ...config.server.bind_addr };
  const descriptors: Descriptors = new Descriptors({
    clock,
    limit: readDescriptorLimit(),
    onShort: (problem) => log.error(problem),
    relieve: () => {
      network.http.dropIdle();
      clients.dropIdle();
    },
    onEnough: () => {
      log.info("there are enough file descriptors again");
      enough.wake();
    },
  });
  const clients = { dropIdle: () => {} };
  const enough = { wake: () => {} };
  const network = createNetwork(config, clock, descriptors);
  const {
    store: opened,
    sweep,
    close,
  } = openObjectStore(config, stores.installation, {
    network,
    credentials: deps.credentials,
  });
  const store = deps.reach === undefined ? opened : failpointStore(opened, deps.reach);
  return {
    ...deps,
    stores,
    broken: broken.promise,
    store,
    sweepStorage: sweep,
    closeStorage: close,
    network,
    descriptors,
    onEnoughDescriptors: (listener) => {
      enough.wake = listener;
    },
    clients,
    metrics,
    componentErrors: troubles,
    policy: createEgressPolicy({
      allowPrivate: config.egress.allow_private,
      isOwn: (ip, port) => port === own.port && listensOn(own, interfaceAddresses)(ip, port),
    }),
    own,
    access: { ...config.server.auth },
    active,
    keys: new KeyGuard(),
    onQueueTrouble,
    stopping: new AbortController(),
  };
}

function interfaceAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) => addresses?.map(({ address }) => address) ?? []);
}
