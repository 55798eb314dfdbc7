import { type StaticDecode, Type } from "@sinclair/typebox";
import { mayBeSecret } from "../net/request-header.ts";
import { choice, decimal, integer, masked, named, optionalPath, parsed, path, ruled, size, table } from "./field.ts";
import { Download, Egress, HandlerSchema, Proxy, Storage } from "./transfer-schema.ts";
import { accessTokenOwner, accessTokenSecret, parseAccessToken } from "./values/access-token.ts";
import { formatBindAddress, parseBindAddress } from "./values/bind-address.ts";
import { hostNameProblem, NAME_PATTERN, NAME_RULE } from "./values/name-rules.ts";
import { proxyEndpointSecret } from "./values/proxy-endpoint.ts";
import { parseOtlpEndpoint, parsePublicAddress } from "./values/service-url.ts";

/**
 * The schema of the whole configuration: the only place for each key's meaning, default and bounds. Defaults are
 * written as in the file. `Config` has the decoded values: sizes in bytes, addresses split, secrets wrapped.
 * `loadLayers` makes the paths absolute.
 */

const DAY_MS = 86_400_000;

function days(fallback: number, description: string) {
  return integer(1, 36_500, fallback, description);
}

const Server = table({
  bind_addr: parsed(parseBindAddress, formatBindAddress, {
    default: "127.0.0.1:8080",
    description: "Address of the HTTP API, host:port. Any address but a loopback address needs tokens.",
  }),
  public_url: parsed(parsePublicAddress, String, {
    default: "",
    secretPart: proxyEndpointSecret,
    description: 'URL of the API for people, for example "https://fetchbox.example.com"; empty = bind_addr.',
  }),
  hosts: Type.Array(ruled(hostNameProblem, { description: "A name." }), {
    default: [],
    maxItems: 100,
    description:
      "Names that Host may have at a service without tokens, beside addresses, localhost and the name in public_url.",
  }),
  shutdown_grace_ms: integer(
    0,
    600_000,
    30_000,
    "Time for running downloads to finish at shutdown; the rest returns to the queue.",
  ),
  instance: integer(
    0,
    255,
    0,
    "Number of this instance: the last byte of every job id. Unique among instances behind one router.",
  ),
  auth: table({
    mode: choice(["token", "none"], {
      default: "token",
      description: '"token": clients need a bearer token once one is set. "none": every client has access.',
    }),
    tokens: Type.Array(
      parsed(parseAccessToken, (access) => `${accessTokenOwner(access)}:${access.token.toString()}`, {
        description:
          '"operator:SECRET" (all), "submit:SECRET" (POST /jobs and reading jobs) or "read:SECRET" (reading all). "operator/alice:SECRET" adds a name for the log.',
        secretPart: accessTokenSecret,
      }),
      {
        default: [],
        maxItems: 100,
        description: "Tokens of the clients. Set FETCHBOX__SERVER__AUTH__TOKENS=operator:SECRET,submit:SECRET2.",
      },
    ),
  }),
});

const Api = table({
  max_payload_bytes: size(1, 2 ** 30, "5MiB", "Largest accepted manifest, decompressed."),
  max_bodies_bytes: size(
    1,
    2 ** 40,
    "256MiB",
    "Memory for the bodies of all submissions together; the answer is 429 beyond it.",
  ),
  max_resources_per_manifest: integer(1, 1_000_000, 1000, "Most resources in one manifest."),
  max_requests_per_second: decimal(
    0,
    1_000_000,
    0,
    "Requests per second of one client, by its token or else its address; 0 = no limit.",
  ),
});

const Queue = table({
  path: path("data/queue", "Folder of queue.db."),
  workers: integer(1, 1024, 8, "Downloads at the same time."),
  channel_size: integer(1, 65_536, 16, "Bound of each in-memory channel."),
  rate_limit_per_worker: decimal(0, 100_000, 10, "Requests per second of each worker; 0 = no limit."),
  max_retries: integer(0, 100, 3, "Further attempts after a transient failure."),
  retry_backoff_ms: integer(
    1,
    DAY_MS,
    1000,
    "Longest first wait before a retry; it doubles each time, with full jitter.",
  ),
  retry_backoff_max_ms: integer(1, 7 * DAY_MS, 300_000, "Longest wait before a retry."),
  max_throttle_ms: integer(
    1,
    365 * DAY_MS,
    3_600_000,
    "Longest time a task waits for a throttling host before it becomes a dead letter.",
  ),
  max_pending_tasks: integer(1, 1_000_000_000, 10_000_000, "Number of pending tasks at which new jobs get 429."),
  task_timeout_ms: integer(1, 7 * DAY_MS, 600_000, "Longest time of one attempt, download and upload together."),
  upgrade_backup: Type.Boolean({
    default: true,
    description: "Back up the stores beside queue.db before a start that upgrades their schema.",
  }),
  retention: table({ completed_days: days(7, "Days that finished tasks stay in queue.db.") }),
});

const Ledger = table({
  path: path("data/ledger", "Folder of ledger.db."),
  retention_days_jobs: days(30, "Days that finished jobs and their results stay."),
  retention_days_logs: days(30, "Days that the log rows of finished jobs stay."),
  retention_days_idempotency: days(14, "Days that an idempotency key is valid."),
});

const Dlq = table({
  path: path("data/dlq", "Folder of dlq.db."),
  retention_days: days(90, "Days that dead letters stay."),
  max_size_gb: decimal(
    0.001,
    100_000,
    10,
    "Size of dlq.db in GB (10^9 bytes) at which the oldest dead letters are deleted.",
  ),
  enable_metrics: Type.Boolean({ default: true, description: "Serve fetchbox_dlq_size." }),
});

const Tls = table({
  ca_file: optionalPath(
    "PEM file of further certificate authorities to trust for downloads, proxies and S3; empty = none.",
  ),
});

const Log = table({
  level: choice(["trace", "debug", "info", "warn", "error", "fatal"], {
    default: "info",
    description: "Lowest level in the log.",
  }),
  format: choice(["auto", "json", "pretty"], {
    default: "auto",
    description:
      '"json": one JSON object per line. "pretty": text for people. "auto": pretty on a terminal, else json.',
  }),
});

const Tracing = table({
  otlp_endpoint: parsed(parseOtlpEndpoint, String, {
    default: "",
    secretPart: proxyEndpointSecret,
    description:
      'URL of a collector of spans (OTLP over HTTP), for example "http://127.0.0.1:4318"; empty = no spans are sent.',
  }),
  sample_ratio: decimal(
    0,
    1,
    1,
    "Share of the traces that start in FetchBox; for a client's trace the client decides.",
  ),
  headers: masked(
    Type.Record(Type.String(), Type.String(), {
      default: {},
      description: "Headers of the requests to the collector.",
    }),
    mayBeSecret,
  ),
});

export const ConfigSchema = table({
  server: Server,
  api: Api,
  queue: Queue,
  ledger: Ledger,
  dlq: Dlq,
  storage: Storage,
  download: Download,
  egress: Egress,
  tls: Tls,
  log: Log,
  tracing: Tracing,
  handlers: named(NAME_PATTERN, NAME_RULE, HandlerSchema, "Handlers by job type."),
  proxies: named(NAME_PATTERN, NAME_RULE, Proxy, "Proxy pools by name."),
});

/** The decoded values. `loadLayers` adds the defaults that depend on other keys. */
export type Config = StaticDecode<typeof ConfigSchema> & { readonly download: { head_timeout_ms: number } };
export type StorageConfig = Config["storage"];
export type TracingConfig = Config["tracing"];
/** One `[handlers.NAME]`; `handler` is "default" or an absolute path. */
export type HandlerConfig = Config["handlers"][string];
/** One `[proxies.NAME]`. */
export type ProxyConfig = Config["proxies"][string];
