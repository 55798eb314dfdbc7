import { type StaticDecode, type TProperties, Type } from "@sinclair/typebox";
import { headerValueProblem, mayBeSecret } from "../net/request-header.ts";
import { CHECKSUM_SETTINGS } from "../storage/checksum-setting.ts";
import { choice, decimal, headerTable, integer, named, parsed, ruled, sealed, size } from "./field.ts";
import { accessTokenOwner, accessTokenSecret, parseAccessToken } from "./values/access-token.ts";
import { formatBindAddress, parseBindAddress } from "./values/bind-address.ts";
import {
  HOST_PATTERN,
  HOST_RULE,
  hostNameProblem,
  hostPatternProblem,
  networkProblem,
  widerBucketNameProblem,
} from "./values/name-rules.ts";
import { formatProxyEndpoint, parseProxyEndpoint, proxyEndpointSecret } from "./values/proxy-endpoint.ts";
import { Secret } from "./values/secret.ts";
import { parseOtlpEndpoint, parsePublicAddress, parseS3Endpoint } from "./values/service-url.ts";

/**
 * The whole configuration: every key with its meaning, default and bounds, and nowhere else.
 * Defaults stand as one would write them in the file; `Config` is what they decode to: sizes in bytes,
 * addresses split, secrets wrapped. Paths are absolute once `loadConfig` has returned.
 */

const DAY_MS = 86_400_000;
const TIB = 2 ** 40;
/** What a client may name as its job type, and what can be a folder in a storage key. A proxy pool is named alike. */
export const NAME_PATTERN = "^(?!\\.{1,2}$)[a-z0-9._-]{1,64}$";
const NAME_RULE = "must be named by 1 to 64 of a-z, 0-9, '-', '_' and '.', and not '.' or '..'";

function table<T extends TProperties>(properties: T) {
  return Type.Object(properties, { additionalProperties: false });
}

function days(fallback: number, description: string) {
  return integer(1, 36_500, fallback, description);
}

function path(fallback: string, description: string) {
  const rule = (text: string) => (text === "" || text.includes("\0") ? "must be a path" : undefined);
  return ruled(rule, { default: fallback, description });
}

function optionalPath(description: string) {
  const rule = (text: string) => (text.includes("\0") ? "must be a path" : undefined);
  return ruled(rule, { default: "", description });
}

function poolName(description: string) {
  return Type.String({ pattern: NAME_PATTERN, description });
}

function secret(description: string) {
  const parse = (text: string) => {
    if (!/^[!-~]{1,4096}$/.test(text)) throw new Error("must be visible ASCII characters");
    return new Secret(text);
  };
  return parsed(parse, String, { description, secretPart: (text) => text });
}

const Server = table({
  bind_addr: parsed(parseBindAddress, formatBindAddress, {
    default: "127.0.0.1:8080",
    description: "Where the HTTP API listens, host:port. Anything but a loopback address needs tokens.",
  }),
  public_url: parsed(parsePublicAddress, String, {
    default: "",
    secretPart: proxyEndpointSecret,
    description: 'Where people find the API, for example "https://fetchbox.example.com"; empty = at bind_addr.',
  }),
  hosts: Type.Array(ruled(hostNameProblem, { description: "A name." }), {
    default: [],
    maxItems: 100,
    description:
      "Names by which clients may call a service without tokens (Host), beside addresses, localhost and public_url's.",
  }),
  shutdown_grace_ms: integer(
    0,
    600_000,
    30_000,
    "How long running downloads may finish at shutdown; the rest is put back.",
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
      description: '"token": bearer tokens, as soon as there are any. "none": open to everyone who can connect.',
    }),
    tokens: Type.Array(
      parsed(parseAccessToken, (access) => `${accessTokenOwner(access)}:${access.token.toString()}`, {
        description:
          '"operator:SECRET" (all), "submit:SECRET" (POST /jobs and reading jobs) or "read:SECRET" (reading all); with a name for the log as in "operator/alice:SECRET".',
        secretPart: accessTokenSecret,
      }),
      {
        default: [],
        maxItems: 100,
        description: "Who may call. Set FETCHBOX__SERVER__AUTH__TOKENS=operator:SECRET,submit:SECRET2.",
      },
    ),
  }),
});

const Api = table({
  max_payload_bytes: size(1, 2 ** 30, "5MiB", "Largest manifest accepted, decompressed."),
  max_bodies_bytes: size(1, 2 ** 40, "256MiB", "Memory for the bodies of all submissions together; 429 beyond."),
  max_resources_per_manifest: integer(1, 1_000_000, 1000, "Most resources one manifest may list."),
  max_requests_per_second: decimal(
    0,
    1_000_000,
    0,
    "Requests per second of one client: of a token, or of an address where there is none; 0 = no limit.",
  ),
});

const Queue = table({
  path: path("data/queue", "Folder of queue.db."),
  workers: integer(1, 1024, 8, "Downloads that may run at the same time."),
  channel_size: integer(1, 65_536, 16, "Bound of each in-memory channel."),
  rate_limit_per_worker: decimal(0, 100_000, 10, "Requests per second that each worker may start; 0 = no limit."),
  max_retries: integer(0, 100, 3, "Further attempts after a transient failure."),
  retry_backoff_ms: integer(
    1,
    DAY_MS,
    1000,
    "Upper end of the first wait before a retry; doubles each time, with full jitter.",
  ),
  retry_backoff_max_ms: integer(1, 7 * DAY_MS, 300_000, "Longest wait before a retry."),
  max_throttle_ms: integer(
    1,
    365 * DAY_MS,
    3_600_000,
    "How long a task may wait for a host that throttles before it is a dead letter.",
  ),
  max_pending_tasks: integer(1, 1_000_000_000, 10_000_000, "Backlog at which new jobs are answered with 429."),
  task_timeout_ms: integer(1, 7 * DAY_MS, 600_000, "Longest time one attempt may take, download and upload together."),
  retention: table({ completed_days: days(7, "How long finished tasks stay in queue.db.") }),
});

const Ledger = table({
  path: path("data/ledger", "Folder of ledger.db."),
  retention_days_jobs: days(30, "How long finished jobs and their results stay."),
  retention_days_logs: days(30, "How long the log rows of finished jobs stay."),
  retention_days_idempotency: days(14, "How long an idempotency key is remembered."),
});

const Dlq = table({
  path: path("data/dlq", "Folder of dlq.db."),
  retention_days: days(90, "How long dead letters stay."),
  max_size_gb: decimal(
    0.001,
    100_000,
    10,
    "Size of dlq.db in GB (10^9 bytes) beyond which the oldest dead letters go.",
  ),
  enable_metrics: Type.Boolean({ default: true, description: "Serve fetchbox_dlq_size." }),
});

function storageHeaders(description: string) {
  return sealed(Type.Record(Type.String(), Type.String(), { default: {}, description }));
}

const Storage = table({
  backend: choice(["local", "s3"], {
    default: "local",
    description: '"local": files below storage.path. "s3": an S3-compatible service.',
  }),
  path: path("data/objects", "Folder of the local backend; holds nothing but objects."),
  bucket: ruled(widerBucketNameProblem, {
    default: "fetchbox-artifacts",
    description: "Bucket of everything that does not name another.",
  }),
  endpoint: parsed(parseS3Endpoint, String, {
    default: "",
    secretPart: proxyEndpointSecret,
    description: 'URL of the S3 service, for example "http://127.0.0.1:9000"; empty = AWS.',
  }),
  region: Type.String({
    pattern: "^[A-Za-z0-9-]{1,64}$",
    default: "us-east-1",
    description: "Region that requests are signed for. AWS_REGION or AWS_DEFAULT_REGION counts where it is not set.",
  }),
  addressing: choice(["path", "virtual"], {
    default: "path",
    description: '"path": endpoint/bucket/key. "virtual": bucket.endpoint/key.',
  }),
  allowed_buckets: Type.Array(ruled(widerBucketNameProblem, { description: "A bucket's name." }), {
    default: [],
    maxItems: 1000,
    description: "Buckets that a manifest may name, beside those of the configuration.",
  }),
  max_unavailable_ms: integer(
    1,
    365 * DAY_MS,
    DAY_MS,
    "How long a task may wait for storage that is unavailable before it is a dead letter.",
  ),
  headers: storageHeaders("Headers that S3 gets with every object: encryption, storage class, ACL, tags and the like."),
  checksum: choice(CHECKSUM_SETTINGS, {
    default: "auto",
    description:
      'Digest that goes along with what is stored. "auto": the strongest that the service takes. "none": only sizes are compared.',
  }),
  part_bytes: size(5 * 2 ** 20, 2 ** 30, "8MiB", "Size of the parts of an upload; larger where 10,000 would not do."),
  buffer_bytes: size(16 * 2 ** 20, 2 ** 40, "512MiB", "Memory for the parts of all uploads together."),
  sign_payload: Type.Boolean({
    default: false,
    description: "Sign the bytes of every object: none is streamed then, and those over part_bytes go in parts.",
  }),
  ca_file: optionalPath(
    "PEM file of authorities to trust for S3, beside the system's and tls.ca_file's; empty = none.",
  ),
  credentials: Type.Optional(
    table({
      access_key_id: secret("Set S3_ACCESS_KEY_ID or AWS_ACCESS_KEY_ID."),
      secret_access_key: secret("Set S3_SECRET_ACCESS_KEY or AWS_SECRET_ACCESS_KEY."),
      session_token: Type.Optional(secret("Set S3_SESSION_TOKEN or AWS_SESSION_TOKEN, for temporary keys only.")),
    }),
  ),
});

const Tls = table({
  ca_file: optionalPath(
    "PEM file of authorities to trust for downloads, proxies and S3, beside the system's; empty = none.",
  ),
});

const HostOverride = table({
  max_concurrency: Type.Optional(Type.Integer({ minimum: 1, maximum: 1024, description: "As download.host's." })),
  breaker_failures: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000, description: "As download.host's." })),
  rate_per_second: Type.Optional(Type.Number({ minimum: 0, maximum: 100_000, description: "As download.host's." })),
  headers: Type.Optional(headerTable("Headers of every request to it that does not set its own.")),
});

const Download = table({
  connect_timeout_ms: integer(1, 600_000, 10_000, "Longest time to connect; again for the TLS handshake."),
  head_timeout_ms: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 3_600_000,
      description:
        "Longest time from the request to the end of the answer's headers. 30000 by default, or connect_timeout_ms and idle_timeout_ms together where that is less.",
    }),
  ),
  idle_timeout_ms: integer(1, 3_600_000, 30_000, "Longest silence of a host within a body."),
  min_bytes_per_second: integer(0, 1_000_000_000, 1024, "Slower downloads are given up, by 30 s at a time; 0 = never."),
  header_bytes: size(1024, 2 ** 24, "64KiB", "Largest headers of an answer."),
  max_bytes: size(1, 5 * TIB, "10GiB", "Largest object."),
  user_agent: ruled((text) => (text === "" ? "must not be empty" : headerValueProblem(text)), {
    default: "FetchBox/{version}",
    description: "User-Agent of downloads that do not set their own; {version} is ours.",
  }),
  max_redirects: integer(0, 50, 10, "Redirects followed for one download."),
  allow_downgrade: Type.Boolean({ default: false, description: "Follow redirects from https: to http:." }),
  host: table({
    max_concurrency: integer(1, 1024, 4, "Downloads from one host at the same time, over all jobs."),
    breaker_failures: integer(
      0,
      1_000_000,
      20,
      "Transient failures in a row after which a host is left alone for a while; 0 = never.",
    ),
    rate_per_second: decimal(0, 100_000, 0, "Requests per second to one host; 0 = no limit."),
  }),
  hosts: named(
    HOST_PATTERN,
    HOST_RULE,
    HostOverride,
    "What holds for some hosts in place of [download.host], by name, name:port or *.domain; the longest that fits wins.",
  ),
});

const Egress = table({
  allow_private: Type.Array(ruled(networkProblem, { description: "A network in CIDR notation." }), {
    default: [],
    maxItems: 1000,
    description: "Networks that downloads may reach although they are private, loopback, link-local or the like.",
  }),
});

export const HandlerSchema = table({
  handler: Type.String({
    minLength: 1,
    maxLength: 4096,
    description: '"default" ("fetchbox::handlers::DefaultHandler" is the same), or the path of a .ts or .js file.',
  }),
  proxy: table({ primary: Type.Optional(poolName("Proxy pool of its downloads that do not name another.")) }),
  storage: table({
    bucket: Type.Optional(
      ruled(widerBucketNameProblem, { description: "Bucket of its jobs that do not name another." }),
    ),
    headers: storageHeaders("Headers that S3 gets with every object of its jobs, over those of [storage]."),
  }),
  default_headers: headerTable("Headers of its downloads that do not set their own."),
  default_headers_for: Type.Array(ruled(hostPatternProblem, { description: "A host's name, or *. and its end." }), {
    default: [],
    maxItems: 1000,
    description:
      "Hosts that get those default_headers that refer to ${NAME}, by name, name:port or *.domain; no other host does.",
  }),
  reject_html: Type.Boolean({ default: false, description: "Refuse HTML where a resource does not say otherwise." }),
  options: sealed(
    Type.Record(Type.String(), Type.Unknown(), {
      default: {},
      description: "Free table that is handed to the handler's factory.",
    }),
  ),
  deadline_ms: integer(
    100,
    3_600_000,
    30_000,
    "Time of its own that a handler's file may take for one job; the client waits for that.",
  ),
  max_tasks: integer(1, 100_000_000, 1_000_000, "A handler's file may make so many downloads of one job."),
});

const Proxy = table({
  endpoints: Type.Array(
    parsed(parseProxyEndpoint, formatProxyEndpoint, {
      description: '"http://proxy:8080", "socks5://proxy:1080" or "http://user:${PROXY_PASSWORD}@proxy:8080".',
      secretPart: proxyEndpointSecret,
    }),
    { minItems: 1, maxItems: 1000, description: "Its proxies, http, https or socks5, tried in turn." },
  ),
  fallbacks: Type.Array(poolName("A pool's name."), {
    default: [],
    maxItems: 100,
    description: "Pools to go on with, in this order, when every endpoint has failed.",
  }),
});

const Log = table({
  level: choice(["trace", "debug", "info", "warn", "error", "fatal"], {
    default: "info",
    description: "Least severe level that is written.",
  }),
  format: choice(["auto", "json", "pretty"], {
    default: "auto",
    description: '"json": a line of JSON each. "pretty": for eyes. "auto": pretty on a terminal.',
  }),
});

const Tracing = table({
  otlp_endpoint: parsed(parseOtlpEndpoint, String, {
    default: "",
    secretPart: proxyEndpointSecret,
    description:
      'Collector that takes spans (OTLP over HTTP), for example "http://127.0.0.1:4318"; empty = none is sent.',
  }),
  sample_ratio: decimal(0, 1, 1, "Share of the traces that begin here; what clients began is taken as they say."),
  headers: sealed(
    Type.Record(Type.String(), Type.String(), { default: {}, description: "Headers that the collector wants." }),
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

export type Config = StaticDecode<typeof ConfigSchema>;
export type ServerConfig = Config["server"];
export type ApiConfig = Config["api"];
export type QueueConfig = Config["queue"];
export type LedgerConfig = Config["ledger"];
export type DlqConfig = Config["dlq"];
export type StorageConfig = Config["storage"];
export type StorageCredentials = NonNullable<StorageConfig["credentials"]>;
export type DownloadConfig = Config["download"];
export type EgressConfig = Config["egress"];
export type LogConfig = Config["log"];
export type TracingConfig = Config["tracing"];
/** One `[handlers.NAME]`; `handler` is "default" or an absolute path. */
export type HandlerConfig = Config["handlers"][string];
/** One `[proxies.NAME]`. */
export type ProxyConfig = Config["proxies"][string];
