import { expect, test } from "bun:test";
import { join } from "node:path";
import { loadLayers } from "../../src/config/load-config.ts";
import { listConfig } from "../../src/config/print-config.ts";
import { ConfigSchema } from "../../src/config/schema.ts";
import { createProject } from "./project.ts";
import { schemaKeys } from "./schema-keys.ts";

test("without any file or variable every section has its defaults, decoded", () => {
  using project = createProject();
  const config = project.load();
  expect(config.server).toEqual({
    bind_addr: { host: "127.0.0.1", port: 8080 },
    public_url: "",
    hosts: [],
    shutdown_grace_ms: 30_000,
    instance: 0,
    auth: { mode: "token", tokens: [] },
  });
  expect(config.api.max_payload_bytes).toBe(5 * 1024 * 1024);
  expect(config.download.max_bytes).toBe(10 * 1024 ** 3);
  expect(config.queue).toEqual({
    path: join(project.cwd, "data/queue"),
    workers: 8,
    channel_size: 16,
    rate_limit_per_worker: 10,
    max_retries: 3,
    retry_backoff_ms: 1000,
    retry_backoff_max_ms: 300_000,
    max_throttle_ms: 3_600_000,
    max_pending_tasks: 10_000_000,
    task_timeout_ms: 600_000,
    upgrade_backup: true,
    retention: { completed_days: 7 },
  });
  expect(config.ledger).toEqual({
    path: join(project.cwd, "data/ledger"),
    retention_days_jobs: 30,
    retention_days_logs: 30,
    retention_days_idempotency: 14,
  });
  expect(config.dlq).toEqual({
    path: join(project.cwd, "data/dlq"),
    retention_days: 90,
    max_size_gb: 10,
    enable_metrics: true,
  });
  expect(config.storage).toEqual({
    backend: "local",
    path: join(project.cwd, "data/objects"),
    bucket: "fetchbox-artifacts",
    endpoint: "",
    region: "us-east-1",
    addressing: "path",
    allowed_buckets: [],
    max_unavailable_ms: 86_400_000,
    headers: {},
    checksum: "auto",
    part_bytes: 8 * 1024 * 1024,
    buffer_bytes: 512 * 1024 * 1024,
    sign_payload: false,
    ca_file: "",
  });
  expect(config.download).toEqual({
    connect_timeout_ms: 10_000,
    head_timeout_ms: 30_000,
    idle_timeout_ms: 30_000,
    min_bytes_per_second: 1024,
    header_bytes: 65_536,
    max_bytes: 10_737_418_240,
    user_agent: "FetchBox/{version}",
    max_redirects: 10,
    allow_downgrade: false,
    hosts: {},
    host: { max_concurrency: 4, breaker_failures: 20, rate_per_second: 0 },
  });
  expect(config.tls).toEqual({ ca_file: "" });
  expect(config.egress).toEqual({ allow_private: [] });
  expect(config.log).toEqual({ level: "info", format: "auto" });
  expect(config.api.max_resources_per_manifest).toBe(1000);
  expect(config.proxies).toEqual({});
});

test("the list of the configuration has each key with a default, also one that depends on other keys", () => {
  using project = createProject("[download]\nconnect_timeout_ms = 2000\nidle_timeout_ms = 5000\n");
  const rows = listConfig(loadLayers({ env: {}, cwd: project.cwd }));
  const keys = schemaKeys(ConfigSchema)
    .map(({ path }) => path.join("."))
    .filter((key) => !key.includes("*") && !key.startsWith("storage.credentials."));
  expect(keys.filter((key) => !rows.some((row) => row.key === key))).toEqual([]);
  const row = { key: "download.head_timeout_ms", value: 7000, layer: "default", source: "default", secret: false };
  expect(rows.find(({ key }) => key === row.key)).toEqual({ ...row, layer: "default" });
});

test("the handler default exists without being named, and can be changed by name", () => {
  using bare = createProject();
  expect(bare.load().handlers["default"]).toEqual({
    handler: "default",
    proxy: {},
    storage: { headers: {} },
    default_headers: {},
    default_headers_for: [],
    reject_html: false,
    options: {},
    deadline_ms: 30_000,
    max_tasks: 1_000_000,
  });
  using named = createProject(`[handlers.default]\nhandler = "default"\nreject_html = true`);
  expect(named.load().handlers["default"]?.reject_html).toBe(true);
});

test("each layer stands above the one before it, key by key", () => {
  using project = createProject("[queue]\nworkers = 2\nmax_retries = 2\nchannel_size = 2\nretry_backoff_ms = 2");
  project.write(
    "config/.env",
    "FETCHBOX__QUEUE__WORKERS=3\nFETCHBOX__QUEUE__MAX_RETRIES=3\nFETCHBOX__QUEUE__CHANNEL_SIZE=3",
  );
  const { queue } = project.load({
    env: { FETCHBOX__QUEUE__WORKERS: "4", FETCHBOX__QUEUE__MAX_RETRIES: "4" },
    overrides: { queue: { workers: 5 } },
  });
  expect([queue.workers, queue.max_retries, queue.channel_size, queue.retry_backoff_ms]).toEqual([5, 4, 3, 2]);
  expect(queue.task_timeout_ms).toBe(600_000);
});

test("--config stands above FETCHBOX_CONFIG, and that above config/fetchbox.toml", () => {
  using project = createProject("queue.workers = 1");
  project.write("b.toml", "queue.workers = 2");
  const named = project.write("c.toml", "queue.workers = 3");
  const env = { FETCHBOX_CONFIG: "b.toml" };
  expect(project.load().queue.workers).toBe(1);
  expect(project.load({ env }).queue.workers).toBe(2);
  expect(project.load({ env, configPath: named }).queue.workers).toBe(3);
  expect(project.load({ env: { FETCHBOX_CONFIG: "" } }).queue.workers).toBe(1);
});

test("a configuration file that is named and missing is a problem that says who names it", () => {
  using project = createProject();
  expect(project.problems({ configPath: "no.toml" })).toEqual([
    { source: "no.toml", key: "", message: "does not exist, but --config names it" },
  ]);
  expect(project.problems({ env: { FETCHBOX_CONFIG: "no.toml" } })[0]?.message).toContain("FETCHBOX_CONFIG names it");
  expect(project.problems({ envFile: "no.env" })).toEqual([
    { source: "no.env", key: "", message: "does not exist, but --env-file names it" },
  ]);
});

test("a configuration path that is a directory is a problem, not a crash", () => {
  using project = createProject();
  expect(project.problems({ configPath: "." })[0]?.message).toContain("cannot be read (EISDIR)");
});

test(".env lies beside the TOML file, or in the working directory where there is none, or where --env-file says", () => {
  using project = createProject();
  project.write(".env", "FETCHBOX__QUEUE__WORKERS=1");
  project.write("etc/.env", "FETCHBOX__QUEUE__WORKERS=2");
  project.write("etc/fetchbox.toml", "");
  project.write("other.env", "FETCHBOX__QUEUE__WORKERS=3");
  expect(project.load().queue.workers).toBe(1);
  expect(project.load({ configPath: "etc/fetchbox.toml" }).queue.workers).toBe(2);
  expect(project.load({ configPath: "etc/fetchbox.toml", envFile: "other.env" }).queue.workers).toBe(3);
});

test("variables set numbers, booleans, sizes, words and lists by comma, whatever their letter case", () => {
  using project = createProject();
  const config = project.load({
    env: {
      fetchbox__dlq__enable_metrics: "false",
      Fetchbox__Queue__Rate_Limit_Per_Worker: "0.5",
      FETCHBOX__API__MAX_PAYLOAD_BYTES: "512KB",
      FETCHBOX__DOWNLOAD__MAX_BYTES: "1024",
      FETCHBOX__LOG__LEVEL: "debug",
      FETCHBOX__STORAGE__ALLOWED_BUCKETS: "one-bucket, two-bucket",
      FETCHBOX__EGRESS__ALLOW_PRIVATE: "",
      FETCHBOX__SERVER__BIND_ADDR: "[::1]:0",
    },
  });
  expect(config.dlq.enable_metrics).toBe(false);
  expect(config.queue.rate_limit_per_worker).toBe(0.5);
  expect(config.api.max_payload_bytes).toBe(512_000);
  expect(config.download.max_bytes).toBe(1024);
  expect(config.log.level).toBe("debug");
  expect(config.storage.allowed_buckets).toEqual(["one-bucket", "two-bucket"]);
  expect(config.egress.allow_private).toEqual([]);
  expect(config.server.bind_addr).toEqual({ host: "::1", port: 0 });
});

test("a variable reaches a handler or pool whose name has dashes, and makes one that is not there", () => {
  using project = createProject(
    `[proxies.residential-us]\nendpoints = ["http://a:1"]\n[proxies.b]\nendpoints = ["http://b:1"]`,
  );
  const config = project.load({
    env: {
      FETCHBOX__PROXIES__RESIDENTIAL_US__FALLBACKS: "b",
      FETCHBOX__HANDLERS__GALLERY__HANDLER: "default",
      FETCHBOX__HANDLERS__GALLERY__STORAGE__BUCKET: "gallery",
    },
  });
  expect(config.proxies["residential-us"]?.fallbacks).toEqual(["b"]);
  expect(Object.keys(config.proxies)).toEqual(["residential-us", "b"]);
  expect(config.handlers["gallery"]?.storage.bucket).toBe("gallery");
});

test("paths start from the working directory, wherever the file lies", () => {
  using project = createProject();
  project.write("etc/box.toml", `queue.path = "q"\nledger.path = "/var/l"\n[handlers.x]\nhandler = "./h.ts"`);
  const handler = project.write("h.ts", "export default {}");
  const config = project.load({ configPath: "etc/box.toml" });
  expect(config.queue.path).toBe(join(project.cwd, "q"));
  expect(config.ledger.path).toBe("/var/l");
  expect(config.handlers["x"]?.handler).toBe(handler);
});

test("both names of the default handler mean it", () => {
  using project = createProject(
    `[handlers.a]\nhandler = "default"\n[handlers.b]\nhandler = "fetchbox::handlers::DefaultHandler"`,
  );
  const { handlers } = project.load();
  expect([handlers["a"]?.handler, handlers["b"]?.handler]).toEqual(["default", "default"]);
});

test("handlers and pools have no inherited names", () => {
  using project = createProject();
  const config = project.load();
  for (const name of ["constructor", "toString", "__proto__"]) {
    expect(config.handlers[name]).toBeUndefined();
    expect(config.proxies[name]).toBeUndefined();
  }
});

test("a key that is named __proto__ pollutes nothing", () => {
  using project = createProject(
    `[handlers.__proto__]\nhandler = "default"\noptions = { __proto__ = { polluted = 1 } }`,
  );
  const config = project.load();
  expect(Object.keys(config.handlers).toSorted()).toEqual(["__proto__", "default"]);
  expect(Reflect.get({}, "polluted")).toBeUndefined();
});

test("options reach the handler as they stand in the file", () => {
  using project = createProject(
    `[handlers.x]\nhandler = "default"\n[handlers.x.options]\nquality = 3\nsizes = ["a", { b = true }]\nat = 2026-01-02`,
  );
  const options = project.load().handlers["x"]?.options;
  expect(options?.["quality"]).toBe(3);
  expect(options?.["sizes"]).toEqual(["a", { b: true }]);
  expect(options?.["at"]).toBeInstanceOf(Date);
});

test("a byte order mark and CRLF line ends do no harm", () => {
  using project = createProject("\uFEFF[queue]\r\nworkers = 2\r\n");
  expect(project.load().queue.workers).toBe(2);
});
