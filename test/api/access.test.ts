import { expect, test } from "bun:test";
import { createAcceptedHost } from "../../src/api/http/accepted-host.ts";
import { parseAccessToken } from "../../src/config/values/access-token.ts";
import { startTestApi } from "./running-api.ts";

const auth = {
  mode: "token",
  tokens: [
    "operator:OPERATOR-SECRET-OF-THIS-TEST",
    "submit:SUBMIT-SECRET-OF-THIS-TEST",
    "submit:BOTH-OF-THIS-TEST",
    "operator:BOTH-OF-THIS-TEST",
    "read:READ-SECRET-OF-THIS-TEST",
  ].map(parseAccessToken),
} as const;

const JOB = "/operators/jobs/019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00";
const OPEN = ["/health/live", "/health/ready"];
const SUBMITTERS = ["/operators/jobs", JOB, `${JOB}/resources`, `${JOB}/logs`];
const OPERATORS = ["/operators/dlq", "/operators/dlq/1", "/operators/health", "/metrics", "/swagger", "/swagger/json"];

function bearer(token: string): RequestInit {
  return { headers: { authorization: `Bearer ${token}` } };
}

test("health stays open to everybody", async () => {
  await using api = await startTestApi({ auth });
  for (const path of OPEN) expect((await api.fetch(path)).status).toBe(200);
});

test.each([
  "",
  "Bearer",
  "Bearer ",
  "Bearer WRONG",
  "Basic OPERATOR-SECRET-OF-THIS-TEST",
  "OPERATOR-SECRET-OF-THIS-TEST",
  "Bearer OPERATOR-SECRET-OF-THIS-TEST x",
])("the authorization %p opens nothing", async (authorization) => {
  await using api = await startTestApi({ auth });
  for (const path of [...SUBMITTERS, ...OPERATORS]) {
    const response = await api.fetch(path, { headers: { authorization } });
    expect([path, response.status]).toEqual([path, 401]);
    expect(response.headers.get("www-authenticate")).toStartWith('Bearer realm="fetchbox"');
    expect(await response.text()).not.toContain("SECRET");
  }
  expect((await api.error("/jobs", 401, { method: "POST", headers: { authorization } })).code).toBe("UNAUTHORIZED");
});

test("a submit token submits and reads jobs, and nothing else", async () => {
  await using api = await startTestApi({ auth });
  for (const path of SUBMITTERS)
    expect((await api.fetch(path, bearer("SUBMIT-SECRET-OF-THIS-TEST"))).status).not.toBe(401);
  expect((await api.fetch("/operators/jobs", bearer("SUBMIT-SECRET-OF-THIS-TEST"))).status).toBe(200);
  expect((await api.error("/jobs", 415, { method: "POST", ...bearer("SUBMIT-SECRET-OF-THIS-TEST") })).code).not.toBe(
    "FORBIDDEN",
  );
  for (const path of OPERATORS) {
    expect((await api.error(path, 403, bearer("SUBMIT-SECRET-OF-THIS-TEST"))).code).toBe("FORBIDDEN");
  }
});

test("a read token reads everything, and changes nothing", async () => {
  await using api = await startTestApi({ auth });
  for (const path of [...SUBMITTERS, ...OPERATORS]) {
    expect([200, 404]).toContain((await api.fetch(path, bearer("READ-SECRET-OF-THIS-TEST"))).status);
  }
  for (const [method, path] of [
    ["POST", "/jobs"],
    ["POST", `${JOB}/cancel`],
    ["POST", "/operators/dlq/replay"],
    ["DELETE", "/operators/dlq/1"],
    ["POST", "/operators/queue/pause"],
  ] as const) {
    const { code, message } = await api.error(path, 403, { method, ...bearer("READ-SECRET-OF-THIS-TEST") });
    expect([code, message]).toEqual(["FORBIDDEN", expect.stringContaining("the role read")]);
  }
});

test.each(["OPERATOR-SECRET-OF-THIS-TEST", "BOTH-OF-THIS-TEST"])("the operator token %s does all", async (token) => {
  await using api = await startTestApi({ auth });
  for (const path of [...SUBMITTERS, ...OPERATORS]) {
    expect([200, 404]).toContain((await api.fetch(path, bearer(token))).status);
  }
});

test("the scheme may be written in any case", async () => {
  await using api = await startTestApi({ auth });
  expect(
    (await api.fetch("/metrics", { headers: { authorization: "bEARER OPERATOR-SECRET-OF-THIS-TEST" } })).status,
  ).toBe(200);
});

test("a body is not read before its sender is authenticated", async () => {
  await using api = await startTestApi({ auth });
  await api.error("/jobs", 401, { method: "POST", headers: { "content-type": "application/json" }, body: "{" });
  expect(api.submissions).toHaveLength(0);
});

test("without tokens, or with the mode none, everything is open", async () => {
  for (const open of [
    { mode: "token", tokens: [] },
    { ...auth, mode: "none" },
  ] as const) {
    await using api = await startTestApi({ auth: open });
    for (const path of ["/operators/dlq", "/metrics"]) expect((await api.fetch(path)).status).toBe(200);
  }
});

test("the name of a token is in the line of a change, where it has one", async () => {
  const tokens = ["operator/alice:ALICE-SECRET-OF-THIS-TEST", "operator:OPERATOR-SECRET-OF-THIS-TEST"];
  await using api = await startTestApi({ auth: { mode: "token", tokens: tokens.map(parseAccessToken) } });
  for (const token of ["ALICE-SECRET-OF-THIS-TEST", "OPERATOR-SECRET-OF-THIS-TEST"]) {
    await api.fetch("/operators/queue/pause", { method: "POST", ...bearer(token) });
  }
  const changes = api.lines.filter(({ route }) => route === "/operators/queue/pause");
  expect(changes.map(({ token_name: name }) => name)).toEqual(["alice", undefined]);
  expect(JSON.stringify(api.lines)).not.toContain("SECRET");
});

test("tokens are in no log line", async () => {
  await using api = await startTestApi({ auth });
  await api.fetch("/metrics", bearer("OPERATOR-SECRET-OF-THIS-TEST"));
  await api.fetch("/metrics", bearer("GUESSED"));
  expect(JSON.stringify(api.lines)).not.toMatch(/SECRET|GUESSED/);
});

test("an open service is called by an address, localhost or a name of its own, not by a name that resolves to it", () => {
  const isAccepted = createAcceptedHost({
    publicUrl: "https://Fetch.example.com/box",
    hosts: ["fetchbox", "a.internal"],
  });
  for (const host of [
    "127.0.0.1:8080",
    "127.0.0.1",
    "[::1]:8080",
    "LOCALHOST:1",
    "a.localhost",
    "192.168.1.4",
    "fetch.example.com",
    "FETCH.example.com.:8443",
    "fetchbox:8080",
    "a.internal",
  ]) {
    expect([host, isAccepted(host)]).toEqual([host, true]);
  }
  for (const host of [
    "evil.example",
    "evil.example:8080",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "fetch.example.com.evil.example",
    "x.fetch.example.com",
    "internal",
    "",
    "::1.x",
  ]) {
    expect([host, isAccepted(host)]).toEqual([host, false]);
  }
  expect(createAcceptedHost({ publicUrl: "", hosts: [] })("")).toBe(false);
});

test("a token whose role is not enough is told which roles are", async () => {
  await using api = await startTestApi({ auth });
  expect((await api.error("/operators/dlq", 403, bearer("SUBMIT-SECRET-OF-THIS-TEST"))).message).toBe(
    "a token with the role submit does not allow this; use a token with the role operator or read",
  );
});
