import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runBinary } from "../support/binary.ts";
import { eventually } from "../support/eventually.ts";
import { prepareService, type Service, startService } from "../support/service.ts";

setDefaultTimeout(60_000);

const TOKEN = "canary-operator-token";
const ENV = { FETCHBOX__SERVER__AUTH__TOKENS: `operator:${TOKEN}` };

test("failed sign-ins are logged and counted, whatever the method", async () => {
  await using service = await startService({ env: ENV, token: TOKEN });
  const count = async (reason: string) => {
    const text = await (await service.fetch("/metrics")).text();
    return new RegExp(`^fetchbox_auth_failures_total\\{reason="${reason}"\\} (\\d+)$`, "m").exec(text)?.[1];
  };
  expect([await count("missing"), await count("unknown")]).toEqual(["0", "0"]);
  const tries = [
    ["GET", "/operators/jobs"],
    ["HEAD", "/operators/jobs"],
    ["GET", "/metrics"],
    ["POST", "/jobs"],
    ["POST", "/operators/queue/pause"],
    ["DELETE", "/operators/dlq/1"],
  ] as const;
  for (const [method, path] of tries) {
    for (const authorization of [undefined, "Bearer canary-wrong-token"]) {
      const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
      const response = await fetch(service.url + path, { method, headers, proxy: false } as RequestInit);
      expect([method, path, response.status]).toEqual([method, path, 401]);
    }
  }
  expect([await count("missing"), await count("unknown")]).toEqual(["6", "6"]);
  const lines = () =>
    service.log
      .split("\n")
      .filter((line) => line.includes("sign-in failed"))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  await eventually("all of them are logged", () => (lines().length === 12 ? true : undefined));
  expect(lines().map(({ level, method, reason }) => [level, method, reason])).toEqual(
    tries.flatMap(([method]) => ["missing", "unknown"].map((reason) => ["warn", method, reason])),
  );
  expect(lines()[0]).toMatchObject({ address: "127.0.0.1", route: "/operators/jobs", request_id: expect.any(String) });
  expect(service.log).not.toContain("canary");
});

test("a wrong token is refused where there is nothing, too; without one the answer says that there is nothing", async () => {
  await using service = await startService({ env: ENV, token: TOKEN });
  const statusOf = async (method: string, path: string, token?: string) => {
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    return (await fetch(service.url + path, { method, headers, proxy: false } as RequestInit)).status;
  };
  for (const [method, path, status] of [
    ["GET", "/nothing-here", 404],
    ["POST", "/operators/jobs", 405],
    ["PUT", "/jobs", 405],
    ["OPTIONS", "/operators/dlq/1", 405],
  ] as const) {
    expect([path, await statusOf(method, path)]).toEqual([path, status]);
    expect([path, await statusOf(method, path, TOKEN)]).toEqual([path, status]);
    expect([path, await statusOf(method, path, "canary-wrong-token")]).toEqual([path, 401]);
  }
  const metrics = await (await service.fetch("/metrics")).text();
  expect(metrics).toContain('fetchbox_auth_failures_total{reason="unknown"} 4\n');
  await eventually("all of them are logged", () => service.log.split("sign-in failed").length === 5 || undefined);
});

test("a token of less than 16 characters stops the start", async () => {
  await using service = await prepareService({ env: { FETCHBOX__SERVER__AUTH__TOKENS: "operator:canary-15-chara" } });
  const { code, stderr } = await runBinary(["serve"], { cwd: service.folder, env: service.env });
  expect([code, stderr]).toEqual([2, expect.stringContaining("must have a token of 16 to 1024")]);
  expect(stderr).not.toContain("canary");
});

/** A request of a browser: without a bearer token. */
function browse(service: Service, path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(service.url + path, { ...init, proxy: false } as RequestInit);
}

async function signIn(service: Service, token: string): Promise<string> {
  const response = await browse(service, "/operators/session", {
    method: "POST",
    headers: { "content-type": "application/json", "sec-fetch-site": "same-origin" },
    body: JSON.stringify({ token }),
  });
  expect([response.status, await response.json()]).toMatchObject([200, { role: "operator" }]);
  return (response.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
}

test("a browser signs in, reads, changes and signs out; a restart ends its session, and the log has no secret", async () => {
  await using service = await startService({
    env: { FETCHBOX__SERVER__AUTH__TOKENS: `operator/alice:${TOKEN}`, FETCHBOX__LOG__LEVEL: "debug" },
    token: TOKEN,
  });
  const cookie = await signIn(service, TOKEN);
  const page = { cookie, "sec-fetch-site": "same-origin" };
  for (const path of ["/swagger", "/swagger/json", "/operators/jobs", "/metrics"])
    expect([path, (await browse(service, path, { headers: { cookie } })).status]).toEqual([path, 200]);
  const pause = (headers: Record<string, string>) =>
    browse(service, "/operators/queue/pause", { method: "POST", headers }).then(({ status }) => status);
  expect([await pause({ cookie }), await pause({ cookie, origin: "https://evil.example" })]).toEqual([403, 403]);
  expect([await pause({ cookie, origin: service.url }), await pause(page)]).toEqual([200, 200]);
  const { entries } = (await (await browse(service, "/operators/activity", { headers: { cookie } })).json()) as {
    entries: { action: string; token: string }[];
  };
  expect(entries.map(({ action, token }) => `${token} ${action}`)).toEqual(["alice pause", "alice sign-in"]);

  const { job_id: job } = (await (
    await browse(service, "/jobs", {
      method: "POST",
      headers: { ...page, "content-type": "application/json" },
      body: JSON.stringify({ manifest_version: "v1", resources: [{ id: "a", url: "http://host.example/" }] }),
    })
  ).json()) as { job_id: string };
  const stream = await browse(service, `/operators/jobs/${job}/logs`, {
    headers: { cookie, accept: "text/event-stream" },
  });
  const first = await stream.body?.getReader().read();
  expect(new TextDecoder().decode(first?.value)).toContain("job accepted");

  const other = await signIn(service, TOKEN);
  const out = await browse(service, "/operators/session", { method: "DELETE", headers: page });
  expect(out.status).toBe(204);
  const statusOf = async (sent: string) =>
    (await browse(service, "/operators/jobs", { headers: { cookie: sent } })).status;
  expect([await statusOf(cookie), await statusOf(other)]).toEqual([401, 200]);
  expect(await service.stop()).toBe(0);
  const log = service.log;
  await service.start();
  expect(await statusOf(other)).toBe(401);
  for (const secret of ["canary", cookie.split("=")[1] ?? "", other.split("=")[1] ?? ""]) {
    expect(secret.length).toBeGreaterThan(5);
    expect(log + service.log).not.toContain(secret);
  }
  expect(log).toContain('"token_name":"alice"');
});

test("a reload that removes or changes a token ends its sessions, and the configuration shows the new tokens", async () => {
  const env = (alice: string) =>
    `ALICE=${alice}\nBOB=canary-token-of-bob-2\nFETCHBOX__QUEUE__WORKERS=3\nFETCHBOX__LOG__LEVEL=debug\n`;
  await using service = await startService({
    toml: '[server.auth]\ntokens = ["operator/alice:${ALICE}", "operator/bob:${BOB}"]\n',
    files: { "config/.env": env("canary-token-of-alice-1") },
  });
  const [alice, bob] = [
    await signIn(service, "canary-token-of-alice-1"),
    await signIn(service, "canary-token-of-bob-2"),
  ];
  const statusOf = async (cookie: string) =>
    (await browse(service, "/operators/config", { headers: { cookie } })).status;
  expect([await statusOf(alice), await statusOf(bob)]).toEqual([200, 200]);
  writeFileSync(join(service.folder, "config/.env"), env("canary-token-of-alice-3").replace("debug", "info"));
  service.signal("SIGHUP");
  await eventually("it reloads", () => service.log.includes('"msg":"reloaded"') || undefined);
  expect([await statusOf(alice), await statusOf(bob)]).toEqual([401, 200]);

  const answer = await (await browse(service, "/operators/config", { headers: { cookie: bob } })).text();
  expect(answer).not.toContain("canary");
  const { values } = JSON.parse(answer) as { values: { key: string }[] };
  const rowOf = (wanted: string) => values.filter(({ key }) => key === wanted);
  expect(rowOf("log.level")).toEqual([{ key: "log.level", value: "info", source: "env", secret: false }] as never);
  expect(rowOf("queue.workers")).toEqual([{ key: "queue.workers", value: 3, source: "env", secret: false }] as never);
  expect(rowOf("ledger.retention_days_jobs")).toMatchObject([{ source: "default", secret: false }]);
  expect(rowOf("server.auth.tokens")).toMatchObject([{ source: "file", secret: true }]);
});
