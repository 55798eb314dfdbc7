import { type StaticDecode, type TProperties, Type } from "@sinclair/typebox";
import { headerValueProblem, mayBeSecret } from "../net/request-header.ts";
import { CHECKSUM_SETTINGS } from "../storage/checksum-setting.ts";
import { choice, decimal, headerTable, integer, masked, named, parsed, ruled, size } from "./field.ts";
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
 * The schema of the whole configuration: the only place for each key's meaning, default and bounds. Defaults are
 * written as in the file. `Config` has the decoded values: sizes in bytes, addresses split, secrets wrapped.
 * `loadLayers` makes the paths absolute.
 */

const DAY_MS = 86_400_000;
const TIB = 2 ** 40;
/** The pattern of job types, which are folders in storage keys, and of proxy pools. */
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

function storageHeaders(description: string) {
  return masked(Type.Record(Type.String(), Type.String(), { default: {}, description }));
}

const Storage = table({
  backend: choice(["local", "s3"], {
    default: "local",
    description: '"local": files below storage.path. "s3": an S3-compatible service.',
  }),
  path: path("data/objects", "Folder of the local backend, for objects only."),
  bucket: ruled(widerBucketNameProblem, {
    default: "fetchbox-artifacts",
    description: "Bucket of manifests and resources that name no other bucket.",
  }),
  endpoint: parsed(parseS3Endpoint, String, {
    default: "",
    secretPart: proxyEndpointSecret,
    description: 'URL of the S3 service, for example "http://127.0.0.1:9000"; empty = AWS.',
  }),
  region: Type.String({
    pattern: "^[A-Za-z0-9-]{1,64}$",
    default: "us-east-1",
    description: "Region in the signatures of requests. The default is AWS_REGION or AWS_DEFAULT_REGION if one is set.",
  }),
  addressing: choice(["path", "virtual"], {
    default: "path",
    description: '"path": endpoint/bucket/key. "virtual": bucket.endpoint/key.',
  }),
  allowed_buckets: Type.Array(ruled(widerBucketNameProblem, { description: "A bucket's name." }), {
    default: [],
    maxItems: 1000,
    description: "Further buckets that a manifest may name, beside those of the configuration.",
  }),
  max_unavailable_ms: integer(
    1,
    365 * DAY_MS,
    DAY_MS,
    "Longest time a task waits for unavailable storage before it becomes a dead letter.",
  ),
  headers: storageHeaders(
    "Headers that FetchBox sends to S3 with every object: encryption, storage class, ACL, tags and the like.",
  ),
  checksum: choice(CHECKSUM_SETTINGS, {
    default: "auto",
    description:
      'Digest that S3 checks for each upload. "auto": the strongest that the service supports. "none": sizes only.',
  }),
  part_bytes: size(
    5 * 2 ** 20,
    2 ** 30,
    "8MiB",
    "Size of the parts of an upload; larger for an object of more than 10,000 parts.",
  ),
  buffer_bytes: size(16 * 2 ** 20, 2 ** 40, "512MiB", "Memory for the parts of all uploads together."),
  sign_payload: Type.Boolean({
    default: false,
    description:
      "Sign the bytes of every object. FetchBox then buffers objects, and sends those over part_bytes in parts.",
  }),
  ca_file: optionalPath(
    "PEM file of further certificate authorities to trust for S3, beside the system's and tls.ca_file's; empty = none.",
  ),
  credentials: Type.Optional(
    table({
      access_key_id: secret("Set S3_ACCESS_KEY_ID or AWS_ACCESS_KEY_ID."),
      secret_access_key: secret("Set S3_SECRET_ACCESS_KEY or AWS_SECRET_ACCESS_KEY."),
      session_token: Type.Optional(secret("Set S3_SESSION_TOKEN or AWS_SESSION_TOKEN; only temporary keys have one.")),
    }),
  ),
});

const Tls = table({
  ca_file: optionalPath(
    "PEM file of further certificate authorities to trust for downloads, proxies and S3; empty = none.",
  ),
});

const HostOverride = table({
  max_concurrency: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 1024, description: "Overrides the key of download.host." }),
  ),
  breaker_failures: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 1_000_000, description: "Overrides the key of download.host." }),
  ),
  rate_per_second: Type.Optional(
    Type.Number({ minimum: 0, maximum: 100_000, description: "Overrides the key of download.host." }),
  ),
  headers: Type.Optional(headerTable("Headers of requests to this host; a request's own headers win.")),
});

const Download = table({
  connect_timeout_ms: integer(1, 600_000, 10_000, "Longest time to connect, and again for the TLS handshake."),
  head_timeout_ms: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 3_600_000,
      description:
        "Longest time from the request to the end of the response's headers. The default is 30000, or the sum of connect_timeout_ms and idle_timeout_ms if that is less.",
    }),
  ),
  idle_timeout_ms: integer(1, 3_600_000, 30_000, "Longest silence of a host during a body."),
  min_bytes_per_second: integer(
    0,
    1_000_000_000,
    1024,
    "Slowest download, measured over 30 s; a slower one is aborted. 0 = no limit.",
  ),
  header_bytes: size(1024, 2 ** 24, "64KiB", "Largest headers of a response."),
  max_bytes: size(1, 5 * TIB, "10GiB", "Largest object."),
  user_agent: ruled((text) => (text === "" ? "must not be empty" : headerValueProblem(text)), {
    default: "FetchBox/{version}",
    description: "User-Agent of downloads that set none; {version} is FetchBox's version.",
  }),
  max_redirects: integer(0, 50, 10, "Most redirects of one download."),
  allow_downgrade: Type.Boolean({ default: false, description: "Follow redirects from https: to http:." }),
  host: table({
    max_concurrency: integer(1, 1024, 4, "Downloads from one host at the same time, of all jobs together."),
    breaker_failures: integer(
      0,
      1_000_000,
      20,
      "Transient failures in a row after which FetchBox pauses a host for a while; 0 = never.",
    ),
    rate_per_second: decimal(0, 100_000, 0, "Requests per second to one host; 0 = no limit."),
  }),
  hosts: named(
    HOST_PATTERN,
    HOST_RULE,
    HostOverride,
    "Limits of some hosts in place of [download.host], by name, name:port or *.domain; the longest match wins.",
  ),
});

const Egress = table({
  allow_private: Type.Array(ruled(networkProblem, { description: "A network in CIDR notation." }), {
    default: [],
    maxItems: 1000,
    description: "Private, loopback, link-local and similar networks that downloads may reach.",
  }),
});

export const HandlerSchema = table({
  handler: Type.String({
    minLength: 1,
    maxLength: 4096,
    description: '"default" ("fetchbox::handlers::DefaultHandler" is the same), or the path of a .ts or .js file.',
  }),
  proxy: table({ primary: Type.Optional(poolName("Proxy pool of downloads that name no other pool.")) }),
  storage: table({
    bucket: Type.Optional(ruled(widerBucketNameProblem, { description: "Bucket of jobs that name no other bucket." })),
    headers: storageHeaders(
      "Headers that FetchBox sends to S3 with every object of its jobs; they override those of [storage].",
    ),
  }),
  default_headers: headerTable("Headers of its downloads; a resource's own headers win."),
  default_headers_for: Type.Array(ruled(hostPatternProblem, { description: "A host's name, or *. and a domain." }), {
    default: [],
    maxItems: 1000,
    description: "Only these hosts receive the default_headers that refer to ${NAME}; by name, name:port or *.domain.",
  }),
  reject_html: Type.Boolean({ default: false, description: "Refuse HTML unless a resource sets reject_html." }),
  options: masked(
    Type.Record(Type.String(), Type.Unknown(), {
      default: {},
      description: "Free table for the factory in the handler's file.",
    }),
  ),
  deadline_ms: integer(
    100,
    3_600_000,
    30_000,
    "Time that a handler's file may take for one job; the client waits for it.",
  ),
  max_tasks: integer(1, 100_000_000, 1_000_000, "Most downloads that a handler's file may make for one job."),
});

const Proxy = table({
  endpoints: Type.Array(
    parsed(parseProxyEndpoint, formatProxyEndpoint, {
      description: '"http://proxy:8080", "socks5://proxy:1080" or "http://user:${PROXY_PASSWORD}@proxy:8080".',
      secretPart: proxyEndpointSecret,
    }),
    { minItems: 1, maxItems: 1000, description: "The pool's proxies, http, https or socks5, tried in turn." },
  ),
  fallbacks: Type.Array(poolName("A pool's name."), {
    default: [],
    maxItems: 100,
    description: "Pools to try next, in this order, after every endpoint has failed.",
  }),
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

export type Config = StaticDecode<typeof ConfigSchema>;
export type StorageConfig = Config["storage"];
export type TracingConfig = Config["tracing"];
/** One `[handlers.NAME]`; `handler` is "default" or an absolute path. */
export type HandlerConfig = Config["handlers"][string];
/** One `[proxies.NAME]`. */
export type ProxyConfig = Config["proxies"][string];
