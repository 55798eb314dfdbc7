import { expect, test } from "bun:test";
import { inspect } from "node:util";
import { ConfigError } from "../../src/config/config-error.ts";
import { printConfig } from "../../src/config/print-config.ts";
import { Secret } from "../../src/config/values/secret.ts";
import { createProject, onlyProblem } from "./project.ts";

const TOML = `
[server.auth]
tokens = ["submit:\${SUBMIT}"]
[storage]
backend = "s3"
[handlers.x]
handler = "default"
default_headers = { Authorization = "Bearer \${HEADER}", Accept = "image/*" }
default_headers_for = ["api.example.com"]
options = { key = "\${OPTION}", deep = { list = ["\${OPTION}", "plain"] } }
[proxies.p]
endpoints = ["http://user:\${PROXY}@proxy-a:8080", "\${WHOLE}", "socks5://user:\${PROXY}@proxy-c"]
`;
const SECRETS = {
  SUBMIT: "hidden-submit-token",
  HEADER: "hidden-header",
  OPTION: "hidden-option",
  PROXY: "hidden@/:proxy%",
  WHOLE: "https://who:hidden-whole@proxy-b",
  S3_ACCESS_KEY_ID: "hidden-id",
  S3_SECRET_ACCESS_KEY: "hidden-key",
  S3_SESSION_TOKEN: "hidden-session",
};

test("a secret shows itself to reveal alone", () => {
  const secret = new Secret("hidden");
  expect(secret.reveal()).toBe("hidden");
  for (const text of [
    String(secret),
    `${secret.toString()}`,
    JSON.stringify(secret),
    inspect(secret),
    Bun.inspect(secret),
  ]) {
    expect(text).toContain("***");
    expect(text).not.toContain("hidden");
  }
  expect(Object.keys(secret)).toEqual([]);
});

test("no way of printing a configuration shows a secret", () => {
  using project = createProject(TOML);
  const config = project.load({ env: SECRETS });
  const printed = printConfig(config);
  for (const text of [
    printed,
    JSON.stringify(config),
    inspect(config, { depth: 20 }),
    Bun.inspect(config, { depth: 20 }),
  ]) {
    expect(text).toContain("***");
    expect(text).not.toContain("hidden");
  }
  expect(printed).toContain(`tokens = [ "submit:***" ]`);
  expect(printed).toContain(`endpoints = [ "http://***@proxy-a:8080", "https://***@proxy-b", "socks5://***@proxy-c" ]`);
  expect(printed).toContain(`secret_access_key = "***"`);
  expect(printed).toContain(`Authorization = "***"`);
  expect(printed).toContain(`Accept = "image/*"`);
  expect(printed).toContain(`list = [ "***", "plain" ]`);
});

test("the secrets are there for those who need them", () => {
  using project = createProject(TOML);
  const config = project.load({ env: SECRETS });
  expect(config.server.auth.tokens[0]?.role).toBe("submit");
  expect(config.server.auth.tokens[0]?.token.reveal()).toBe("hidden-submit-token");
  expect(config.storage.credentials?.access_key_id.reveal()).toBe("hidden-id");
  expect(config.storage.credentials?.session_token?.reveal()).toBe("hidden-session");
  const [first, second, third] = config.proxies["p"]?.endpoints ?? [];
  expect(first?.url).toBe("http://proxy-a:8080");
  expect(first?.credentials?.username.reveal()).toBe("user");
  expect(first?.credentials?.password.reveal()).toBe("hidden@/:proxy%");
  expect(second?.credentials?.password.reveal()).toBe("hidden-whole");
  expect(third?.credentials?.password.reveal()).toBe("hidden@/:proxy%");
  const { Authorization: header, ...others } = config.handlers["x"]?.default_headers ?? {};
  expect(header instanceof Secret ? header.reveal() : header).toBe("Bearer hidden-header");
  expect(others).toEqual({ Accept: "image/*" });
  expect(config.handlers["x"]?.options["key"]).toBe("hidden-option");
});

test("tokens come from the environment as role and token", () => {
  using project = createProject();
  const env = { FETCHBOX__SERVER__AUTH__TOKENS: "operator:a:b-of-some-length,submit:c-of-some-length" };
  const { tokens } = project.load({ env }).server.auth;
  expect(tokens.map(({ role, token }) => [role, token.reveal()])).toEqual([
    ["operator", "a:b-of-some-length"],
    ["submit", "c-of-some-length"],
  ]);
});

test("a token may have a name, which is printed and no secret", () => {
  using project = createProject('server.auth.tokens = ["read/grafana-1_x.y:${READ}"]');
  expect(printConfig(project.load({ env: { READ: "hidden-read-token" } }))).toContain('"read/grafana-1_x.y:***"');
  const long = "a".repeat(64);
  const env = { FETCHBOX__SERVER__AUTH__TOKENS: `operator/alice:hidden:16--chars,submit/${long}:other-16---chars` };
  const { tokens } = project.load({ env }).server.auth;
  expect(tokens.map(({ role, name, token }) => [role, name, token.reveal()])).toEqual([
    ["operator", "alice", "hidden:16--chars"],
    ["submit", long, "other-16---chars"],
  ]);
});

test.each(["", "Alice", "a b", "a/b", "ä", "a".repeat(65)])("%j names no token", (name) => {
  using project = createProject();
  const env = { FETCHBOX__SERVER__AUTH__TOKENS: `operator/${name}:hidden-16--chars` };
  const text = new ConfigError(project.problems({ env })).message;
  expect(text).toContain("server.auth.tokens[0]: must have 1 to 64 of a-z, 0-9, '-', '_' and '.' as the name");
  expect(text).not.toContain("hidden");
});

test("two names for one secret are refused", () => {
  using project = createProject();
  const env = { FETCHBOX__SERVER__AUTH__TOKENS: "read/a:hidden-16--chars,read/b:hidden-16--chars" };
  expect(new ConfigError(project.problems({ env })).message).toContain("must not hold the same token twice");
});

test.each([
  [`server.auth.tokens = ["operator:hidden"]`, "server.auth.tokens[0]"],
  [`server.auth.tokens = ["operator:hidden\${A}"]`, "server.auth.tokens[0]"],
  [`server.auth.tokens = ["hidden"]`, "server.auth.tokens[0]"],
  [`server.auth.tokens = ["operator/alice:hidden"]`, "server.auth.tokens[0]"],
  [`proxies.p.endpoints = ["http://user:hidden@proxy:1"]`, "proxies.p.endpoints[0]"],
  [`proxies.p.endpoints = ["http://hidden@proxy:1"]`, "proxies.p.endpoints[0]"],
  [`proxies.p.endpoints = ["socks5://user:hidden@proxy:1"]`, "proxies.p.endpoints[0]"],
  [`proxies.p.endpoints = ["socks5h://user:hidden@proxy:1"]`, "proxies.p.endpoints[0]"],
  [`proxies.p.endpoints = ["socks5:user:hidden@proxy:1"]`, "proxies.p.endpoints[0]"],
  [`proxies.p.endpoints = ["http:user:hidden@proxy:1"]`, "proxies.p.endpoints[0]"],
  [`proxies.p.endpoints = ["http:///user:hidden@proxy:1"]`, "proxies.p.endpoints[0]"],
  [`proxies.p.endpoints = ['http:\\\\user:hidden@proxy:1']`, "proxies.p.endpoints[0]"],
  [`proxies.p.endpoints = ["http://user:\${A}hidden@proxy:1"]`, "proxies.p.endpoints[0]"],
  [
    `storage.credentials.access_key_id = "\${A}"\nstorage.credentials.secret_access_key = "hidden"`,
    "storage.credentials.secret_access_key",
  ],
  [`storage.endpoint = "http://key:hidden@s3.example.com"`, "storage.endpoint"],
  [
    `handlers.x.handler = "default"\nhandlers.x.default_headers = { authorization = "hidden" }`,
    "handlers.x.default_headers.authorization",
  ],
  [
    `handlers.x.handler = "default"\nhandlers.x.default_headers = { X-Api-Key = "hidden" }`,
    "handlers.x.default_headers.X-Api-Key",
  ],
  [
    `download.hosts."a.example.com".headers = { Authorization = "hidden" }`,
    'download.hosts."a.example.com".headers.Authorization',
  ],
  ...["X-Auth-Token", "Token", "Private-Token", "X-Secret", "password"].flatMap((name) => [
    [
      `handlers.x.handler = "default"\nhandlers.x.default_headers = { ${name} = "hidden" }`,
      `handlers.x.default_headers.${name}`,
    ],
    [`download.hosts."a.test".headers = { ${name} = "hidden" }`, `download.hosts."a.test".headers.${name}`],
    [`tracing.headers = { ${name} = "hidden" }`, `tracing.headers.${name}`],
  ]),
])("a secret written out in the file is refused, and not repeated: %s", (toml, key) => {
  const text = onlyProblem(toml, { A: "a" });
  expect(text).toContain(`: ${key}: must not hold a secret itself`);
  expect(text).not.toContain("hidden");
  expect(text.split("\n")).toHaveLength(1);
});

test.each([
  ["FETCHBOX__SERVER__AUTH__TOKENS", "hidden"],
  ["FETCHBOX__SERVER__AUTH__TOKENS", "admin:hidden"],
  ["FETCHBOX__SERVER__AUTH__TOKENS", "operator:hidden\thidden"],
  ["FETCHBOX__SERVER__AUTH__TOKENS", "operator:hidden,submit:hidden"],
  ["FETCHBOX__STORAGE__ENDPOINT", "http://hidden:hidden@s3"],
  ["FETCHBOX__PROXIES__P__ENDPOINTS", "ftp://user:hidden@proxy"],
  ["FETCHBOX__PROXIES__P__ENDPOINTS", "http://user:hidden%zz@proxy"],
  ["FETCHBOX__PROXIES__P__ENDPOINTS", "http://user:hidden@proxy/path"],
  ["FETCHBOX__PROXIES__P__ENDPOINTS", "socks4://user:hidden@proxy"],
  ["FETCHBOX__PROXIES__P__ENDPOINTS", `socks5://user:hidden${"x".repeat(255)}@proxy`],
  ["FETCHBOX__STORAGE__CREDENTIALS__ACCESS_KEY_ID", "hidden hidden"],
])("a message about %s does not repeat its value", (name, value) => {
  using project = createProject();
  const text = new ConfigError(project.problems({ env: { [name]: value } })).message;
  expect(text).toContain(`environment ${name}`);
  expect(text).not.toContain("hidden");
});

test.each([
  'server.auth.tokens = "operator:hidden"',
  "server.auth.tokens = { operator = 'hidden' }",
  'server.auth = "operator:hidden"',
  'server = "operator:hidden"',
  'storage.credentials = "hidden"',
  'storage.credentials = ["hidden"]',
  'proxies = "http://user:hidden@proxy:1"',
  'proxies.main = "http://user:hidden@proxy:1"',
  'proxies.main.endpoints = "http://user:hidden@proxy:1"',
  'handlers.x = "Bearer hidden"',
  'handlers.x = { handler = "default", default_headers = "Bearer hidden" }',
  'handlers.x = { handler = "default", default_headers = { "Authorization: Bearer hidden" = "" } }',
  'download.hosts."a.example.com".headers = "Bearer hidden"',
  'download.hosts."http://user:hidden@a.example.com" = {}',
  'proxies."http://user:hidden@proxy" = { endpoints = [] }',
  'server.auth."operator:hidden" = true',
  'tracing.headers = "Bearer hidden"',
  // At the key of something else.
  'queue.workers = "operator:hidden"',
  'log.level = "http://user:hidden@proxy"',
  'tracing.sample_ratio = "Bearer hidden"',
])("a message about a wrong type or a wrong key repeats no secret: %s", (toml) => {
  const text = onlyProblem(toml);
  expect(text).toStartWith("config/fetchbox.toml:1: ");
  expect(text).not.toContain("hidden");
});

test.each([
  "[server.auth]\ntokens = [\n  submit:hidden,\n]",
  "[server.auth]\ntokens = [ operator:hidden== ]",
  '[server.auth]\ntokens = ["operator:$' + '{A}"]\nhidden\n',
  "[server.auth]\nhidden=",
  "hidden = = 1",
  "[hidden\nworkers = 1",
  "[hidden]\nworkers = = 1",
  "[proxies.main]\nendpoints = [\n  http://user:hidden@proxy:1\n]",
  'x = """\nhidden\n""""\nhidden 1',
  "x = '''\npassword = hidden\nworkers = hidden'''\n= = 1",
  "# hidden\nx = \n# workers = hidden",
])("the frame of a syntax error repeats no secret: %j", (toml) => {
  const text = onlyProblem(toml);
  expect(text).toMatch(/^config\/fetchbox\.toml:\d+:\d+: /);
  expect(text).toContain("^");
  expect(text).not.toContain("hidden");
});

test("a token has at least 16 characters", () => {
  using project = createProject();
  const load = (token: string) => ({ env: { FETCHBOX__SERVER__AUTH__TOKENS: `operator:${token}` } });
  const short = new ConfigError(project.problems(load("hidden-15-chars"))).message;
  expect(short).toContain("server.auth.tokens[0]: must have a token of 16 to 1024");
  expect(short).not.toContain("hidden");
  expect(project.load(load("hidden-16--chars")).server.auth.tokens).toHaveLength(1);
});

test("a configuration error shows no secret however it is printed", () => {
  using project = createProject(`tokens = ["operator:hidden" "submit:hidden"]`);
  try {
    project.load();
    expect.unreachable();
  } catch (error) {
    expect(Bun.inspect(error)).not.toContain("submit:hidden");
    expect(inspect(error, { depth: 20 })).not.toContain("submit:hidden");
    expect(error).toBeInstanceOf(ConfigError);
  }
});

test("the frame of a syntax error shows no text within quotes and no value of what is named like a secret", () => {
  const text = onlyProblem(`password = hidden\ntokens = ["operator:hidden" "submit:hidden"]\nother = 'hidden\n`);
  expect(text).toStartWith("config/fetchbox.toml:1:12: ");
  expect(text).not.toContain("hidden");
  const next = onlyProblem(`tokens = ["operator:hidden" "submit:hidden"]\n`);
  expect(next).toContain("1:  tokens = ");
  expect(next).toContain("^");
  expect(onlyProblem(`other = "hidden" 'hidden'\n`)).not.toContain("hidden");
  expect(next).not.toContain("hidden");
});

test("a handler's header that refers must name its hosts", () => {
  const handler = '[handlers.x]\nhandler = "default"\n';
  for (const headers of ['{ Authorization = "Bearer ${A}" }', '{ Accept = "image/*", X-Client = "a ${A} b" }']) {
    const text = onlyProblem(`${handler}default_headers = ${headers}`, { A: "hidden" });
    expect(text).toMatch(/: handlers\.x\.default_headers\.(Authorization|X-Client): refers to \$\{NAME\}, so/);
    expect(text).toContain('write default_headers_for = ["api.example.com"]');
    expect(text).not.toContain("hidden");
  }
  using plain = createProject(`${handler}default_headers = { Accept = "image/*", X = "a $\${b" }`);
  expect({ ...plain.load().handlers["x"]?.default_headers }).toEqual({ Accept: "image/*", X: "a ${b" });
  for (const host of ["*", "http://a.example.com", "A.example.com", "a.example.com/x", ""]) {
    expect(onlyProblem(`${handler}default_headers_for = ["${host}"]`)).toContain("must be a host's name");
  }
});
