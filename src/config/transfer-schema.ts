import { Type } from "@sinclair/typebox";
import { headerValueProblem } from "../net/request-header.ts";
import { CHECKSUM_SETTINGS } from "../storage/checksum-setting.ts";
import {
  choice,
  decimal,
  headerTable,
  integer,
  masked,
  named,
  optionalPath,
  parsed,
  path,
  ruled,
  secret,
  size,
  table,
} from "./field.ts";
import {
  HOST_PATTERN,
  HOST_RULE,
  hostPatternProblem,
  NAME_PATTERN,
  networkProblem,
  widerBucketNameProblem,
} from "./values/name-rules.ts";
import { formatProxyEndpoint, parseProxyEndpoint, proxyEndpointSecret } from "./values/proxy-endpoint.ts";
import { parseS3Endpoint } from "./values/service-url.ts";

/** The parts of the configuration that concern transfers: downloads and their hosts, handlers, proxies, storage. */

const DAY_MS = 86_400_000;
const TIB = 2 ** 40;

function poolName(description: string) {
  return Type.String({ pattern: NAME_PATTERN, description });
}

function storageHeaders(description: string) {
  return masked(Type.Record(Type.String(), Type.String(), { default: {}, description }));
}

export const Storage = table({
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

export const Download = table({
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

export const Egress = table({
  allow_private: Type.Array(ruled(networkProblem, { description: "A network in CIDR notation." }), {
    default: [],
    maxItems: 1000,
    description:
      "Private, loopback, link-local and similar networks that downloads may reach: 10.0.0.0/8, or 10.0.0.1/32 for one address.",
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

export const Proxy = table({
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
