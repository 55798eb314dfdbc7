import { expect, test } from "bun:test";
import { ConfigError, renderProblems } from "../../src/config/config-error.ts";
import { keyText } from "../../src/config/sources/key-path.ts";
import { createProject, onlyProblem } from "./project.ts";

test("every problem of every layer is found in one go, each with its source and key", () => {
  using project = createProject(
    [
      "[queue]", // 1
      "workers = 0",
      'worker = "x"',
      "channel_size = 1.5",
      "[api]", // 5
      'max_payload_bytes = "5 foo"',
      "[handlers.gallery]", // 7
      'handler = "./missing.ts"',
      'proxy.primary = "nowhere"',
      "[proxies.a]", // 10
      'endpoints = ["socks5h://proxy:1080"]',
      'fallbacks = ["b", "c"]',
      "[proxies.b]", // 13
      "endpoints = []",
      'fallbacks = ["a"]',
      "[egress]", // 16
      'allow_private = ["10.0.0.0/8", ""]',
      "[speed]", // 18
    ].join("\n"),
  );
  project.write("config/.env", "# comment\nFETCHBOX__DLQ__MAX_SIZE_GB=many\nnonsense");
  const env = { FETCHBOX__QUEUE__WORKERZ: "1", FETCHBOX__LOG__LEVEL: "loud", NODE_TLS_REJECT_UNAUTHORIZED: "0" };
  const found = project.problems({ env, overrides: { queue: { max_retries: -1 } } });
  expect(found.map(({ source, key }) => `${source} ${key}`).toSorted()).toEqual(
    [
      "config/.env:2 dlq.max_size_gb",
      "config/.env:3 ",
      "command line queue.max_retries",
      "config/fetchbox.toml:2 queue.workers",
      "config/fetchbox.toml:3 queue.worker",
      "config/fetchbox.toml:4 queue.channel_size",
      "config/fetchbox.toml:6 api.max_payload_bytes",
      "config/fetchbox.toml:8 handlers.gallery.handler",
      "config/fetchbox.toml:9 handlers.gallery.proxy.primary",
      "config/fetchbox.toml:11 proxies.a.endpoints[0]",
      "config/fetchbox.toml:12 proxies.a.fallbacks",
      "config/fetchbox.toml:12 proxies.a.fallbacks[1]",
      "config/fetchbox.toml:14 proxies.b.endpoints",
      "config/fetchbox.toml:17 egress.allow_private[1]",
      "config/fetchbox.toml:18 speed",
      "environment FETCHBOX__LOG__LEVEL log.level",
      "environment FETCHBOX__QUEUE__WORKERZ ",
      "environment NODE_TLS_REJECT_UNAUTHORIZED ",
    ].toSorted(),
  );
});

test("a problem in a list of several lines names the entry's own line", () => {
  expect(onlyProblem('[egress]\nallow_private = [\n  "10.0.0.0/8",\n  "nonsense",\n]')).toStartWith(
    "config/fetchbox.toml:4: egress.allow_private[1]: ",
  );
});

test("a date that does not exist is refused with its place, beside any other problem", () => {
  expect(onlyProblem("[queue]\nworkers = 0\n[handlers.default.options]\nday = 2026-02-30")).toBe(
    "config/fetchbox.toml:4:16: is not valid TOML: check the date or the start of the file",
  );
});

test("a problem is printed as file, line, key and what would be right", () => {
  expect(onlyProblem("[queue]\nworkers = 0")).toBe(
    "config/fetchbox.toml:2: queue.workers: must be a whole number between 1 and 1024, got 0",
  );
  expect(renderProblems([{ source: ".env:3", key: "", message: "is wrong" }])).toBe(".env:3: is wrong");
});

test.each([
  ["queue.workers = 1025", "queue.workers: must be a whole number between 1 and 1024, got 1025"],
  ["queue.workers = 1.5", "queue.workers: must be a whole number between 1 and 1024, got 1.5"],
  [`queue.workers = "8"`, `queue.workers: must be a whole number between 1 and 1024, got "8"`],
  ["queue.workers = true", "queue.workers: must be a whole number between 1 and 1024, got true"],
  ["queue.workers = []", "queue.workers: must be a whole number between 1 and 1024, got a list"],
  ["queue.workers.x = 1", "queue.workers: must be a whole number between 1 and 1024, got a table"],
  [
    "queue.rate_limit_per_worker = inf",
    "queue.rate_limit_per_worker: must be a number between 0 and 100000, got Infinity",
  ],
  ["queue.rate_limit_per_worker = nan", "queue.rate_limit_per_worker: must be a number between 0 and 100000, got NaN"],
  ["queue.rate_limit_per_worker = -1", "queue.rate_limit_per_worker: must be a number between 0 and 100000, got -1"],
  ["queue = 5", "queue: must be a table, got 5"],
  ["handlers = []", "handlers: must be a table, got a list"],
  ["handlers.x = 5", "handlers.x: must be a table, got a number"],
  ["[[queue]]", "queue: must be a table, got a list"],
  ["queue.path = 5", "queue.path: must be a string of 0 to 4096 characters, got 5"],
  [`queue.path = ""`, `queue.path: must be a path, got ""`],
  [`server.instance = 256`, "server.instance: must be a whole number between 0 and 255, got 256"],
  [`server.auth.mode = "off"`, `server.auth.mode: must be "token" or "none", got "off"`],
  [`server.auth.tokens = "operator:x"`, "server.auth.tokens: must be a list of 0 to 100 entries, got a string"],
  [`dlq.enable_metrics = "yes"`, `dlq.enable_metrics: must be true or false, got "yes"`],
  ["ledger.retention_days_jobs = 0", "ledger.retention_days_jobs: must be a whole number between 1 and 36500, got 0"],
  ["download.max_bytes = 0", "download.max_bytes: must be between 1B and 5TiB, got 0"],
  [`download.max_bytes = "6TiB"`, `download.max_bytes: must be between 1B and 5TiB, got "6TiB"`],
  [
    "api.max_payload_bytes = 1.5",
    `api.max_payload_bytes: must be a size like "5MiB", "512KB" or a number of bytes, got 1.5`,
  ],
  ["log.level = 1979-05-27", `got "1979-05-27"`],
  [`storage.region = "eu west"`, "storage.region: must be a string that matches"],
  [`download.user_agent = "a\\nb"`, "download.user_agent: must not contain CR, LF, NUL or other control characters"],
  [`handlers.x.options = {}`, "handlers.x.handler: is missing."],
  [`proxies.x.fallbacks = []`, "proxies.x.endpoints: is missing."],
  [`handlers.Gallery.handler = "default"`, "handlers.Gallery: must be named by 1 to 64 of a-z"],
  [`handlers."a b".handler = "default"`, `handlers."a b": must be named by 1 to 64 of a-z`],
  [`handlers.x = { handler = "default", options = [] }`, "handlers.x.options: must be a table"],
  [
    `handlers.x = { handler = "default", default_headers = { a = 1 } }`,
    "handlers.x.default_headers.a: must be a string",
  ],
  [`handlers."..".handler = "default"`, `handlers."..": must be named by 1 to 64 of a-z`],
  ["querue.workers = 1", "querue: unknown key; did you mean queue?"],
  [
    "queue.retention.completed_day = 1",
    "queue.retention.completed_day: unknown key; did you mean queue.retention.completed_days?",
  ],
  ["log.verbosity = 1", "log.verbosity: unknown key; [log] has level, format"],
])("one mistake is one problem: %s", (toml, message) => {
  const text = onlyProblem(toml);
  expect(text).toStartWith("config/fetchbox.toml:1: ");
  expect(text).toContain(message);
  expect(text.split("\n")).toHaveLength(1);
});

test.each([
  ["FETCHBOX__QUEUE__WORKERS", "many", `queue.workers: must be a whole number between 1 and 1024, got "many"`],
  ["FETCHBOX__QUEUE__WORKERS", "", `queue.workers: must be a whole number between 1 and 1024, got ""`],
  ["FETCHBOX__QUEUE__WORKERS", "1e1", `queue.workers: must be a whole number between 1 and 1024, got "1e1"`],
  ["FETCHBOX__DLQ__ENABLE_METRICS", "1", `dlq.enable_metrics: must be true or false, got "1"`],
  ["FETCHBOX__QUEUE__WORKERZ", "1", "unknown key of the configuration; did you mean FETCHBOX__QUEUE__WORKERS?"],
  ["FETCHBOX__QUEUE", "1", "names a table: name one of its keys"],
  ["FETCHBOX__HANDLERS__X", "1", "names a table: name one of its keys"],
  ["FETCHBOX__", "1", "unknown key of the configuration"],
  ["FETCHBOX__QUEUE__WORKERS__X", "1", "unknown key of the configuration"],
  ["FETCHBOX____PROTO____X", "1", "unknown key of the configuration"],
  ["FETCHBOX__HANDLERS__X__OPTIONS__KEY", "1", "cannot be set in the environment: write ${NAME} in the file"],
  ["FETCHBOX__STORAGE__BUCKET", "Bad", `storage.bucket: must be a bucket name`],
])("a variable that is wrong is a problem: %s=%s", (name, value, message) => {
  using project = createProject();
  const text = new ConfigError(project.problems({ env: { [name]: value } })).message;
  expect(text).toStartWith(`environment ${name}: `);
  expect(text).toContain(message);
  expect(text.split("\n")).toHaveLength(1);
});

test("two variables that mean the same key are a problem", () => {
  using project = createProject();
  const found = project.problems({ env: { FETCHBOX__QUEUE__WORKERS: "1", fetchbox__queue__workers: "2" } });
  expect(found).toHaveLength(1);
  expect(found[0]).toMatchObject({ source: "environment fetchbox__queue__workers", key: "queue.workers" });
});

test("a wrong value of a lower layer does no harm where a higher one sets the key", () => {
  using project = createProject("queue.workers = 0");
  expect(project.load({ env: { FETCHBOX__QUEUE__WORKERS: "2" } }).queue.workers).toBe(2);
});

test("a variable does not hide that the file has something else in a table's place", () => {
  using project = createProject("queue = 5");
  const [problem] = project.problems({ env: { FETCHBOX__QUEUE__WORKERS: "2" } });
  expect(problem).toMatchObject({ source: "config/fetchbox.toml:1", key: "queue" });
});

test("a syntax error says file, line and column, and shows the place", () => {
  expect(onlyProblem("[queue]\nworkers = = 1")).toBe(
    "config/fetchbox.toml:2:11: invalid value\n1:  [queue]\n2:  workers = = *\n              ^",
  );
});

test("bytes that are no UTF-8 are refused with their line", () => {
  using project = createProject();
  project.write("config/fetchbox.toml", new Uint8Array([0x61, 0x3d, 0x31, 0x0a, 0x62, 0x3d, 0x22, 0xff, 0x22, 0x0a]));
  expect(project.problems()).toEqual([{ source: "config/fetchbox.toml:2", key: "", message: "is not valid UTF-8" }]);
});

test("a file that is too large, or nested too deeply, is refused and not chewed on", () => {
  expect(onlyProblem(`# ${"x".repeat(2 ** 20)}`)).toContain("is larger than 1048576 bytes");
  expect(onlyProblem(`a${".a".repeat(400_000)} = 1`)).toContain("must not be nested deeper than 32 levels");
  const nested = onlyProblem(`a = ${"[".repeat(400_000)}`);
  expect(nested).toContain("excessively nested");
  expect(nested.length).toBeLessThan(500);
});

test("a refused value is repeated shortened", () => {
  const text = onlyProblem(`log.level = "${"x".repeat(4000)}"`);
  expect(text).toContain("…");
  expect(text.length).toBeLessThan(250);
});

test("keys are written as in TOML", () => {
  expect(keyText(["handlers", "a.b", "options", 3, "x y"])).toBe(`handlers."a.b".options[3]."x y"`);
});
