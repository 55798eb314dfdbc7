import { expect, setDefaultTimeout, test } from "bun:test";
import type { Overview } from "../../src/api/openapi/overview-schemas.ts";
import type { DownloadList, HostList, HostRow } from "../../src/api/openapi/traffic-schemas.ts";
import { eventually } from "../support/eventually.ts";
import { startFaultOrigin } from "../support/fault-origin.ts";
import { startOrigin } from "../support/origin.ts";
import { pattern } from "../support/pattern.ts";
import { type Service, startService } from "../support/service.ts";

setDefaultTimeout(60_000);

const TOKEN = "a-token-that-is-long-enough-for-all";

const manifest = (...urls: string[]) => ({
  manifest_version: "v1",
  resources: urls.map((url, i) => ({ id: `r${i}`, url })),
});

const hostOf = (url: string) => new URL(url).host;
const pathOf = (host: string) => `/operators/hosts/${encodeURIComponent(host)}`;
const hostRow = (service: Service, host: string) => service.get<HostRow>(pathOf(host));

async function reopened(service: Service, host: string): Promise<HostRow> {
  const response = await service.fetch(`${pathOf(host)}/reopen`, { method: "POST" });
  expect(response.status).toBe(200);
  return (await response.json()) as HostRow;
}

test("running downloads show their stage, their bytes and their speed, without a secret", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { "queue.workers": 4 } });
  const size = 5 * 2 ** 20;
  const stalled = origin.hold("/stalled", pattern(size), { bytes: 3 * 2 ** 20 });
  const silent = Promise.withResolvers<void>();
  const asked = origin.answer("/silent", (_request, response) => void silent.promise.then(() => response.end("late")));
  const host = hostOf(origin.url);
  const before = Date.now();
  const job = await service.submit(manifest(stalled.url.replace("://", "://user:secret@"), asked));
  await stalled.reached;
  const list = await eventually("both run, and the bytes have come", async () => {
    const answer = await service.get<DownloadList>("/operators/downloads?sort=largest");
    const [first, second] = answer.downloads;
    return (first?.bytes ?? 0) > 2 ** 20 && second?.stage === "headers" ? answer : undefined;
  });
  expect(list).toMatchObject({
    total: 2,
    downloads: [
      {
        job_id: job,
        job_type: "default",
        tenant: "default",
        resource_id: "r0",
        url: stalled.url,
        host,
        address: "127.0.0.1",
        proxy: null,
        attempt: 1,
        stage: "body",
        http_status: 200,
        bytes_total: size,
      },
      { resource_id: "r1", stage: "headers", http_status: null, bytes: 0, bytes_total: null, bytes_per_second: 0 },
    ],
  });
  expect(JSON.stringify(list)).not.toContain("secret");
  const started = Date.parse(list.downloads[0]?.started_at ?? "");
  expect(started).toBeGreaterThanOrEqual(before - 50);
  expect(started).toBeLessThanOrEqual(Date.now() + 50);
  await eventually("the speed is measured", async () => {
    const { downloads } = await service.get<DownloadList>("/operators/downloads?sort=slowest");
    return downloads[0]?.resource_id === "r1" && (downloads[1]?.bytes_per_second ?? 0) > 0 ? true : undefined;
  });
  // A large file counts while it is under way, not at its end alone.
  const { rates } = await service.get<Overview>("/operators/overview");
  expect(rates.completed).toBe(0);
  expect(rates.bytes).toBeGreaterThan(2 ** 20);
  const filtered = (query: string) => service.get<DownloadList>(`/operators/downloads?${query}`);
  expect(await filtered(`host=${encodeURIComponent(host)}&limit=1`)).toMatchObject({ total: 2, downloads: [{}] });
  expect(await filtered(`job_id=${job}`)).toMatchObject({ total: 2 });
  expect(await filtered("host=127.0.0.1")).toEqual({ total: 0, downloads: [] });

  const row = await hostRow(service, host);
  expect(row).toMatchObject({ host, running: 2, waiting: 0, state: "open", completed_5m: 0, rule: null });
  stalled.release();
  silent.resolve();
  expect((await service.finished(job)).status).toBe("completed");
  expect(await filtered("")).toEqual({ total: 0, downloads: [] });
  expect(await hostRow(service, host)).toMatchObject({ running: 0, completed_5m: 2, failed_5m: 0, bytes_5m: size + 4 });
});

test("a host that asked for a pause is shown and gets one probe when it is reopened, by the only task too", async () => {
  await using origin = await startOrigin();
  await using service = await startService({
    token: TOKEN,
    settings: { "server.auth.tokens": `operator/alice:${TOKEN}` },
  });
  const host = hostOf(origin.url);
  let isReady = false;
  const answered = Promise.withResolvers<void>();
  const url = origin.answer("/busy", (_request, response) => {
    if (!isReady) response.writeHead(429, { "retry-after": "800" }).end();
    else void answered.promise.then(() => response.end("done"));
  });
  const job = await service.submit(manifest(url));
  await eventually("it is throttled", async () => {
    const [row] = await service.resources(job);
    return row?.state === "retrying" ? true : undefined;
  });
  const closed = await service.get<HostList>("/operators/hosts?state=closed");
  expect(closed.hosts).toMatchObject([{ host, state: "waiting", limit: 0, waiting: 1, failed_5m: 1 }]);
  expect(closed.hosts[0]?.closed_for_ms).toBeGreaterThan(700_000);
  expect(closed.next_cursor).toBeNull();
  // The record in queue.db decides after a restart, and follows the reopening.
  await service.kill();
  await service.start();
  expect(await hostRow(service, host)).toMatchObject({ state: "waiting", limit: 0 });
  isReady = true;
  expect(await reopened(service, host)).toMatchObject({ host, state: "probing", closed_for_ms: 0 });
  // Its only task, which was put off until the end of the pause, is the probe.
  await origin.reached(2);
  await service.submit(manifest(...Array<string>(20).fill(url)));
  // One task at a time, although twenty wait.
  expect(await hostRow(service, host)).toMatchObject({ running: 1, limit: 1, waiting: 20 });
  expect(service.log).toMatch(/"host":"127[^}]*"token_name":"alice"|"token_name":"alice"[^}]*"host":"127/);
  answered.resolve();
  expect((await service.finished(job)).status).toBe("completed");
  await eventually("the host is no longer closed", async () => {
    const { hosts } = await service.get<HostList>("/operators/hosts?state=closed");
    return hosts.length === 0 ? true : undefined;
  });
});

test("a closed breaker that is reopened lets exactly one probe through", async () => {
  using origin = startFaultOrigin({ reset: (exchange) => exchange.reset() });
  await using service = await startService({
    settings: { "queue.workers": 8, "download.host.breaker_failures": 3, "queue.max_retries": 50 },
  });
  const host = hostOf(origin.url);
  await service.submit(manifest(...Array<string>(40).fill(`${origin.url}/reset`)));
  // The breaker opens for longer each time: wait for one that lasts.
  await eventually("the breaker is open for some time", async () => {
    const { state, closed_for_ms: ms } = await hostRow(service, host);
    return state === "breaker" && ms > 3000 ? true : undefined;
  });
  const before = origin.requests.length;
  await reopened(service, host);
  const after = await eventually("the probe has failed", async () => {
    const row = await hostRow(service, host);
    return origin.requests.length > before && row.state === "breaker" ? row : undefined;
  });
  expect(origin.requests.length).toBe(before + 1);
  expect(after.failures_in_a_row).toBeGreaterThanOrEqual(3);
  expect(after.unavailable_since).not.toBeNull();
});

test("an unknown host is 404, and a host that is not closed stays as it is", async () => {
  await using origin = await startOrigin();
  await using service = await startService({
    toml: '[download.hosts."127.0.0.1"]\nmax_concurrency = 3\nrate_per_second = 50\n',
  });
  for (const [path, method] of [
    ["/operators/hosts/unknown.test", "GET"],
    ["/operators/hosts/unknown.test/reopen", "POST"],
  ] as const) {
    const response = await service.fetch(path, { method });
    expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([404, "NOT_FOUND"]);
  }
  const job = await service.submit(manifest(origin.serve("/a", "a"), `${origin.url}/gone`));
  await service.finished(job);
  const host = hostOf(origin.url);
  const row = await reopened(service, host);
  expect(row).toMatchObject({ host, state: "rate", rule: "127.0.0.1", configured_limit: 3, rate_per_second: 50 });
  expect(row).toMatchObject({ completed_5m: 1, failed_5m: 1, dead_letters: 1, current_limit: 3 });
});
