import { expect, test } from "bun:test";
import { connect } from "node:net";
import { Secret } from "../../src/config/values/secret.ts";
import { startTestApi } from "./running-api.ts";

test("an unknown path is answered with 404 in the one shape", async () => {
  await using api = await startTestApi();
  for (const path of ["/", "/nope", "/jobs/", "/operators/jobs/a/b/c", "/operators/jobs/", "/swagger/../x"]) {
    expect((await api.error(path, 404)).code).toBe("NOT_FOUND");
  }
});

test("the root leads browsers to the console, and other clients nowhere", async () => {
  await using api = await startTestApi();
  const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
  for (const method of ["GET", "HEAD"]) {
    for (const path of ["/", "/?utm_source=mail"]) {
      const response = await api.fetch(path, { method, headers: { accept: browser } });
      expect([response.status, new URL(response.headers.get("location") ?? "", api.url + path).href]).toEqual([
        303,
        `${api.url}/console`,
      ]);
      expect(response.headers.get("content-security-policy")).toBe(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
          "base-uri 'self'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
      );
    }
  }
  for (const accept of ["*/*", "application/json", "text/plain", "application/json, text/html;q=0.5"]) {
    expect((await api.error("/", 404, { headers: { accept } })).code).toBe("NOT_FOUND");
  }
  expect((await api.error("/", 404, { method: "POST", headers: { accept: browser } })).code).toBe("NOT_FOUND");
  expect((await api.error("/nope", 404, { headers: { accept: browser } })).code).toBe("NOT_FOUND");
});

test.each([
  ["DELETE", "/jobs", "POST"],
  ["GET", "/jobs", "POST"],
  ["POST", "/operators/jobs", "GET, HEAD"],
  ["PUT", "/operators/jobs/019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00/logs", "GET, HEAD"],
  ["PATCH", "/operators/dlq/1?x=1", "GET, HEAD, DELETE"],
  ["OPTIONS", "/health/live", "GET, HEAD"],
])("%s %s is answered with 405 and what is allowed", async (method, path, allow) => {
  await using api = await startTestApi();
  const response = await api.fetch(path, { method });
  expect([response.status, response.headers.get("allow")]).toEqual([405, allow]);
  expect(await response.json()).toMatchObject({ code: "METHOD_NOT_ALLOWED", details: [] });
});

test("HEAD is answered like GET, without the body", async () => {
  await using api = await startTestApi();
  const head = await api.fetch("/operators/jobs", { method: "HEAD" });
  expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([200, "30", ""]);
  expect((await api.fetch("/operators/jobs/none", { method: "HEAD" })).status).toBe(404);
});

test("a client's request id comes back and is logged", async () => {
  await using api = await startTestApi();
  const response = await api.fetch("/health/live", { headers: { "x-request-id": "abc-1" } });
  expect(response.headers.get("x-request-id")).toBe("abc-1");
  expect(api.lines.at(-1)).toMatchObject({ request_id: "abc-1", route: "/health/live", method: "GET", status: 200 });
});

test.each(["a b", "x".repeat(129), "ä"])("the request id %p is replaced", async (id) => {
  await using api = await startTestApi();
  const response = await api.fetch("/health/live", { headers: { "x-request-id": id } });
  expect(response.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
});

test("no answer is cached, sniffed or framed", async () => {
  await using api = await startTestApi();
  for (const path of ["/operators/jobs", "/nope", "/health/live", "/metrics"]) {
    const { headers } = await api.fetch(path);
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
  }
});

test.each([
  "Host: a",
  "Host: [",
  "Host: ",
  "Host: a b",
  "Host: ::1",
  "Host: u@h",
  "Host: ../..",
  "Host: %zz",
  "X: no host",
])("the header %p does not hide the path", async (header) => {
  await using api = await startTestApi();
  const version = header.startsWith("Host") ? "1.1" : "1.0";
  const exchange = (request: string) => raw(api.port, `${request} HTTP/${version}\r\n${header}\r\nConnection: close`);
  expect(await exchange("GET /health/live?a=/b")).toStartWith("HTTP/1.1 200 ");
  expect(await exchange("GET /nope")).toStartWith("HTTP/1.1 404 ");
  expect(await exchange("DELETE /operators/jobs?x=1")).toStartWith("HTTP/1.1 405 ");
});

test("a request without a host still carries its body", async () => {
  await using api = await startTestApi();
  const body = JSON.stringify({ resources: [{ id: "a", url: "https://a.example/a" }] });
  const head = `POST /jobs HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`;
  expect(await raw(api.port, head, body)).toStartWith("HTTP/1.1 202 ");
  expect(api.submissions).toHaveLength(1);
});

test("a host that is not accepted is refused on every path", async () => {
  await using api = await startTestApi({ isAcceptedHost: (host) => !host.startsWith("evil") });
  const headers = { host: "evil.example" };
  expect((await api.error("/operators/jobs", 403, { headers })).code).toBe("FORBIDDEN");
  expect((await api.error("/nope", 403, { headers })).code).toBe("FORBIDDEN");
  expect((await api.fetch("/operators/jobs")).status).toBe(200);
  expect(await raw(api.port, "GET /health/live HTTP/1.0")).toStartWith("HTTP/1.1 200 ");
});

test("an answer repeats at most 100 characters of a value", async () => {
  await using api = await startTestApi();
  const long = "z".repeat(5000);
  for (const path of [`/operators/jobs?${long}=1`, `/operators/jobs?status=${long}`, `/operators/jobs/${long}`]) {
    const response = await api.fetch(path);
    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(await response.text()).not.toContain("z".repeat(101));
  }
});

test("requests are counted by route, not by path", async () => {
  await using api = await startTestApi();
  await api.fetch("/operators/jobs/some-job");
  await api.fetch("/made-up");
  const text = await (await api.fetch("/metrics")).text();
  expect(text).toContain('fetchbox_http_requests_total{route="/operators/jobs/:job_id",method="GET",status="404"} 1');
  expect(text).toContain('fetchbox_http_requests_total{route="unmatched",method="GET",status="404"} 1');
  expect(text).not.toContain("made-up");
});

test("a submission is logged at info with its job, reading at debug", async () => {
  await using api = await startTestApi();
  const job = await api.submit(1);
  expect(api.lines.at(-1)).toMatchObject({ level: "info", route: "/jobs", status: 202, job_id: job });
  await api.fetch("/operators/jobs");
  expect(api.lines.at(-1)?.level).toBe("debug");
});

test("two servers cannot share one port", async () => {
  await using api = await startTestApi();
  expect(() =>
    Bun.serve({ hostname: "127.0.0.1", port: api.port, reusePort: true, fetch: () => new Response() }),
  ).toThrow();
});

/** Sends a request as it is written, and gives all that comes back until the server closes. */
async function raw(port: number, head: string, body = ""): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.write(`${head}\r\n\r\n${body}`);
  let answer = "";
  for await (const chunk of socket) answer += String(chunk);
  return answer;
}

test.each([
  [{ origin: "http://evil.example" }, 403],
  [{ origin: "null" }, 403],
  [{ "sec-fetch-site": "cross-site" }, 403],
  [{ "sec-fetch-site": "same-site" }, 403],
  [{ origin: "OWN", "sec-fetch-site": "same-origin" }, 200],
  [{ "sec-fetch-site": "none" }, 200],
  [{}, 200],
])("where nobody needs a token, a change that a page sends with %j is answered with %d", async (headers, status) => {
  await using api = await startTestApi();
  const sent = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, value.replace("OWN", api.url)]),
  );
  expect((await api.fetch("/operators/queue/pause", { method: "POST", headers: sent })).status).toBe(status);
  expect((await api.fetch("/operators/queue", { headers: sent })).status).toBe(200);
});

test("a page of the public URL is the service's own, whatever name a proxy before it calls it by", async () => {
  await using api = await startTestApi({ publicOrigin: "https://fetch.example.com" });
  for (const [origin, status] of [
    ["https://fetch.example.com", 200],
    ["http://fetch.example.com", 403],
    ["https://evil.example", 403],
  ] as const) {
    const headers = { origin, "sec-fetch-site": "same-origin" };
    expect((await api.fetch("/operators/queue/pause", { method: "POST", headers })).status).toBe(status);
  }
});

test("with tokens a page of another origin may send requests with a token", async () => {
  const tokens = [{ role: "operator", name: undefined, token: new Secret("T") } as const];
  await using api = await startTestApi({ auth: { mode: "token", tokens } });
  const headers = { origin: "http://console.example", authorization: "Bearer T" };
  expect((await api.fetch("/operators/queue/pause", { method: "POST", headers })).status).toBe(200);
});

test.each([
  ["GET", "/operators/queue"],
  ["POST", "/operators/queue/pause"],
  ["GET", "/operators/health"],
  ["GET", "/operators/dlq/operations"],
  ["DELETE", "/operators/dlq/1"],
  ["POST", "/jobs"],
  ["GET", "/metrics"],
])("%s %s takes no parameters, and says so", async (method, path) => {
  await using api = await startTestApi();
  const { code, details } = await api.error(`${path}?x=1`, 400, { method });
  expect([code, details[0]?.path]).toEqual(["INVALID_PAYLOAD", "/query/x"]);
});

test.each(["/health/live", "/health/ready", "/swagger"])("%s takes any parameters", async (path) => {
  await using api = await startTestApi();
  expect((await api.fetch(`${path}?x=1`)).status).toBe(200);
});
