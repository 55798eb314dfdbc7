import { hostname } from "node:os";
import { createAcceptedHost } from "../api/http/accepted-host.ts";
import { type ApiDeps, createApi, type RunningServer, startServer } from "../api/http/server.ts";
import type { Config } from "../config/schema.ts";
import type { PeriodicTask } from "../std/clock.ts";
import { createHostReports } from "./downloads/host-report.ts";
import type { Foundation } from "./foundation.ts";
import { createOverview, type OverviewDeps } from "./overview/overview.ts";
import { createQueueControl, type QueueReportDeps } from "./queue-report.ts";
import type { Work } from "./work.ts";

/** A silent connection is closed after this time. */
const IDLE_SECONDS = 120;

interface Schedule {
  /** Runs a task periodically until the service stops. */
  readonly schedule: (task: PeriodicTask) => void;
}

/** Opens the API. @throws if the address is in use or not of this machine */
export function openHttp(
  config: Pick<Config, "server" | "api" | "proxies" | "queue">,
  foundation: Foundation,
  work: Pick<Work, "cancellation" | "bulkOperations"> & QueueReportDeps["work"],
  service: Pick<ApiDeps, "submit" | "health" | "starting" | "configuration"> & Schedule,
): RunningServer {
  const { log, clock, version, metrics, stores, active, tracer, access, clients, broken } = foundation;
  const { bind_addr: address } = config.server;
  const stopping = new AbortController();
  const queueControl = createQueueControl({
    work,
    control: stores.queue.control,
    active,
    descriptors: foundation.descriptors,
    ratePerWorker: config.queue.rate_limit_per_worker,
    isDiskFull: () => foundation.componentErrors.isDiskFull("queue"),
    health: service.health,
    isStarting: () => service.starting() !== undefined,
  });
  const { queueReport } = queueControl;
  const instance = instanceName(hostname(), config.server.instance);
  const overview = openOverview(config, foundation, work, { ...service, queueReport, name: instance });
  const api = createApi({
    ...service,
    ...queueControl,
    downloads: () => active.list(),
    hosts: createHostReports({ work, queue: stores.queue, deadLetters: stores.deadLetters, active, clock }),
    overview,
    rateHistory: work.rates.history,
    speedOf: (job) => work.rates.jobs.speedOf(job),
    cancel: (jobId) => work.cancellation.cancel(jobId),
    discard: async ({ task, resourceId }) =>
      (await stores.queue.deadLetters.discard([{ id: task, resourceId }], "given_up")) > 0,
    operations: work.bulkOperations,
    pools: new Set(Object.keys(config.proxies)),
    queue: stores.queue,
    ledger: stores.ledger,
    store: foundation.store,
    deadLetters: stores.deadLetters,
    metrics,
    log,
    limits: {
      maxPayloadBytes: config.api.max_payload_bytes,
      maxBodiesBytes: config.api.max_bodies_bytes,
      requestsPerSecond: config.api.max_requests_per_second,
    },
    auth: access,
    isAcceptedHost: createAcceptedHost({ publicUrl: config.server.public_url, hosts: config.server.hosts }),
    publicOrigin: URL.parse(config.server.public_url)?.origin,
    broken,
    version,
    instance,
    clock,
    stopping: stopping.signal,
    newRequestId: () => Bun.randomUUIDv7(),
    tracer,
  });
  const server = startServer(api, { hostname: address.host, port: address.port, idleTimeoutSeconds: IDLE_SECONDS });
  clients.dropIdle = server.dropIdle;
  return {
    ...server,
    stop: (signal) => {
      stopping.abort(new Error("the server is stopping"));
      return server.stop(signal);
    },
  };
}

/** The overview, with the periodic task that it needs. */
function openOverview(
  { queue }: Pick<Config, "queue">,
  { stores, version, clock, disks, componentErrors }: Foundation,
  work: OverviewDeps["work"],
  { schedule, ...reports }: Pick<OverviewDeps, "name" | "queueReport" | "health"> & Schedule,
): ApiDeps["overview"] {
  const { read, periodicTask } = createOverview({
    version,
    maxPending: queue.max_pending_tasks,
    stores,
    work,
    ...reports,
    disks,
    isDiskFull: (store) =>
      store === "storage"
        ? work.buckets.closed().some(({ code }) => code === "UPLOAD_DISK_FULL")
        : componentErrors.isDiskFull(store),
    clock,
  });
  schedule(periodicTask);
  return read;
}

/** The name of an instance for people: the machine, and the number where several instances share a machine. */
function instanceName(machine: string, instance: number): string {
  return instance === 0 ? machine : `${machine}/${instance}`;
}
