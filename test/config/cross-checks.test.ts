import { expect, test } from "bun:test";
import { createProject, onlyProblem } from "./project.ts";

test.each(["0.0.0.0:8080", "192.0.2.1:80", "[::]:8080", "[2001:db8::1]:0"])(
  "an address that others can reach needs tokens, or mode none: %s",
  (address) => {
    const toml = `server.bind_addr = "${address}"`;
    const text = onlyProblem(toml);
    expect(text).toStartWith("config/fetchbox.toml:1: server.bind_addr: ");
    expect(text).toContain("FETCHBOX__SERVER__AUTH__TOKENS=operator:SECRET");
    expect(text).toContain('server.auth.mode = "none"');
    using open = createProject(`${toml}\nserver.auth.mode = "none"`);
    expect(open.load().server.auth.mode).toBe("none");
    using closed = createProject(toml);
    expect(
      closed.load({ env: { FETCHBOX__SERVER__AUTH__TOKENS: "operator:some-token-of-16-letters" } }).server.auth.tokens,
    ).toHaveLength(1);
  },
);

test.each(["127.0.0.1:1", "127.8.9.10:1", "[::1]:1", "localhost:1", "[::ffff:127.0.0.1]:1"])(
  "a loopback address needs no tokens: %s",
  (address) => {
    using project = createProject(`server.bind_addr = "${address}"`);
    expect(project.load().server.auth.tokens).toEqual([]);
  },
);

test("a wrong token is not reported as a missing one as well", () => {
  expect(onlyProblem(`server.bind_addr = "0.0.0.0:80"`, { FETCHBOX__SERVER__AUTH__TOKENS: "admin:x" })).not.toContain(
    "\n",
  );
});

test("a token that stands twice is refused", () => {
  using project = createProject();
  const [problem] = project.problems({
    env: { FETCHBOX__SERVER__AUTH__TOKENS: "operator:the-very-same-token,submit:the-very-same-token" },
  });
  expect(problem).toMatchObject({ source: "environment FETCHBOX__SERVER__AUTH__TOKENS", key: "server.auth.tokens" });
});

test.each([
  ["data/objects", "data/objects"],
  ["data/objects/queue", "data/objects"],
  ["data", "data/objects"],
  ["./data/../data/objects/", "data/objects"],
  [".", "data/objects"],
  ["/", "data/objects"],
  ["data/objects/..x", "data/objects"],
])("a store in %s collides with objects in %s", (store, objects) => {
  for (const section of ["queue", "ledger", "dlq"]) {
    const text = onlyProblem(`storage.path = "${objects}"\n${section}.path = "${store}"`);
    expect(text).toStartWith(
      `config/fetchbox.toml:2: ${section}.path: must not be, contain or lie in the folder of the objects`,
    );
    expect(text).not.toContain("\n");
  }
});

test("stores may share a folder, and stand beside the objects", () => {
  using project = createProject(`queue.path = "d/s"\nledger.path = "d/s"\ndlq.path = "d/s"\nstorage.path = "d/s2"`);
  expect(project.load().queue.path).toBe(project.load().dlq.path);
});

test("with an s3 backend storage.path is in nobody's way", () => {
  using project = createProject(`storage.backend = "s3"\nqueue.path = "data"`);
  expect(project.load({ env: { S3_ACCESS_KEY_ID: "a", S3_SECRET_ACCESS_KEY: "b" } }).storage.backend).toBe("s3");
});

test("a folder that only defaults collide with is reported at the store", () => {
  expect(onlyProblem(`storage.path = "data/queue"`)).toStartWith("defaults: queue.path: must not be");
});

test("the first wait before a retry must not exceed the longest", () => {
  expect(onlyProblem("queue.retry_backoff_ms = 2000\nqueue.retry_backoff_max_ms = 1999")).toContain(
    "config/fetchbox.toml:1: queue.retry_backoff_ms: must not exceed queue.retry_backoff_max_ms (1999)",
  );
});

test("the first wait before a retry may be the longest", () => {
  using project = createProject("queue.retry_backoff_ms = 2000\nqueue.retry_backoff_max_ms = 2000");
  expect(project.load().queue.retry_backoff_ms).toBe(2000);
});

test("a handler's file must be a .ts or .js file that exists", () => {
  using project = createProject(`[handlers.x]\nhandler = "./h.ts"`);
  expect(project.problems()[0]?.message).toContain("does not exist");
  project.write("h.ts/inner", "");
  expect(project.problems()[0]?.message).toContain("does not exist");
  expect(onlyProblem(`[handlers.x]\nhandler = "gallery"`)).toContain(
    `must be "default" or the path of a .ts or .js file`,
  );
});

test("a handler's proxy pool must exist, inherited names do not count", () => {
  for (const pool of ["nowhere", "constructor"]) {
    expect(onlyProblem(`[handlers.x]\nhandler = "default"\nproxy.primary = "${pool}"`)).toBe(
      `config/fetchbox.toml:3: handlers.x.proxy.primary: names the proxy pool "${pool}", but there is no [proxies.${pool}]`,
    );
  }
});

test.each([
  ["Host", "x", "must not be set"],
  ["proxy-authorization", "x", "must not be set"],
  ["Accept-Encoding", "x", "must not be set"],
  ["a b", "x", "is not a header name"],
  ["", "x", "is not a header name"],
  ["X", "a\\nb", "must not contain CR, LF, NUL or other control characters"],
  ["X", "a\\u0000", "must not contain CR, LF, NUL or other control characters"],
  ["X", "\\u2603", "must not contain characters beyond Latin-1"],
  ["X", "y".repeat(1025), "must be at most 1024 bytes"],
])("a handler cannot add the header %s", (name, value, message) => {
  expect(onlyProblem(`[handlers.x]\nhandler = "default"\ndefault_headers = { "${name}" = "${value}" }`)).toContain(
    message,
  );
});

test("a handler adds at most ten headers", () => {
  const headers = (count: number) => Array.from({ length: count }, (_, index) => `X-${index} = "v"`).join(", ");
  using project = createProject(`[handlers.x]\nhandler = "default"\ndefault_headers = { ${headers(10)} }`);
  expect(Object.keys(project.load().handlers["x"]?.default_headers ?? {})).toHaveLength(10);
  expect(onlyProblem(`[handlers.x]\nhandler = "default"\ndefault_headers = { ${headers(11)} }`)).toContain("got 11");
});

function pools(fallbacks: Record<string, string[]>): string {
  return Object.entries(fallbacks)
    .map(([name, list]) => `[proxies.${name}]\nendpoints = ["http://p:1"]\nfallbacks = ${JSON.stringify(list)}`)
    .join("\n");
}

test("pools that fall back on one another in a circle are refused, each circle once", () => {
  expect(onlyProblem(pools({ a: ["a"] }))).toContain(
    "config/fetchbox.toml:3: proxies.a.fallbacks: must not lead back to the pool itself: a → a",
  );
  const two = onlyProblem(pools({ start: ["b"], b: ["c"], c: ["d", "b"], d: [] }));
  expect(two).toContain("b → c → b");
  expect(two.split("\n")).toHaveLength(1);
});

test("pools that meet again without a circle are fine", () => {
  using project = createProject(pools({ a: ["b", "c"], b: ["d"], c: ["d"], d: [] }));
  expect(Object.keys(project.load().proxies)).toEqual(["a", "b", "c", "d"]);
});

test("many pools that share fallbacks are looked at once each", () => {
  const names = Array.from({ length: 60 }, (_, index) => `p${index}`);
  using project = createProject(pools(Object.fromEntries(names.map((name, index) => [name, names.slice(index + 1)]))));
  expect(Object.keys(project.load().proxies)).toHaveLength(60);
});

test("NODE_TLS_REJECT_UNAUTHORIZED=0 is refused", () => {
  using project = createProject();
  expect(project.problems({ env: { NODE_TLS_REJECT_UNAUTHORIZED: "0" } })).toHaveLength(1);
  expect(project.load({ env: { NODE_TLS_REJECT_UNAUTHORIZED: "1" } }).queue.workers).toBe(8);
});
