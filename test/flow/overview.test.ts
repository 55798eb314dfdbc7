import { expect, setDefaultTimeout, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { startOrigin } from "../support/origin.ts";
import { startService } from "../support/service.ts";

setDefaultTimeout(60_000);

interface Overview {
  readonly instance: { readonly name: string };
  readonly rates: Readonly<Record<string, number>>;
  readonly stores: readonly { readonly store: string; readonly bytes: number | null }[];
  readonly attention: readonly { readonly kind: string; readonly since: string | null }[];
}
interface Rates {
  readonly series: Readonly<Record<string, readonly (number | null)[]>>;
}
interface Jobs {
  readonly jobs: readonly { readonly rate: number | null; readonly eta_seconds: number | null }[];
}

test("the overview and the rates show what a service does, and a job its speed", async () => {
  await using origin = await startOrigin();
  const settings = { "queue.workers": 2, "queue.max_retries": 1, "server.instance": 3 };
  await using service = await startService({ settings });
  const good = origin.serve("/good", "x".repeat(100));
  const gone = `${origin.url}/gone`;
  const bad = origin.answer("/bad", (_request, response) => void response.writeHead(500).end());
  const held = origin.hold("/held", new Uint8Array(100));
  const resources = [good, good, gone, bad, held.url].map((url, at) => ({ id: `r${at}`, url }));
  const id = await service.submit({ manifest_version: "v1", resources });
  const counted = await eventually("four tasks have ended", async () => {
    const overview = await service.get<Overview>("/operators/overview");
    return overview.rates.completed === 2 && overview.rates.failed === 2 ? overview : undefined;
  });
  expect(counted).toMatchObject({
    instance: { name: expect.stringMatching(/.\/3$/) },
    health: "healthy",
    queue: { pending: 0, running: 1, retrying: 0, paused: false, max_pending: 10_000_000 },
    workers: { total: 2, busy: 1 },
    // Two bodies of 100 bytes, and the 12 bytes of the 404.
    rates: { window_seconds: 60, completed: 2, failed: 2, retried: 1, bytes: 212, accepted: 5 },
    jobs: { queued: 0, in_progress: 1, completed: 0, partial: 0, failed: 0, cancelled: 0 },
    dead_letters: {
      total: 2,
      last_hour: 2,
      by_code: [
        { key: "DOWNLOAD_HTTP_404", count: 1 },
        { key: "DOWNLOAD_HTTP_500", count: 1 },
      ],
    },
    hosts: { known: 1, closed: 0 },
    buckets: [],
    operations: [],
    attention: [],
  });
  const { stores } = await eventually("the stores have been measured", async () => {
    const overview = await service.get<Overview>("/operators/overview");
    return overview.stores.length > 0 ? overview : undefined;
  });
  const space = { disk_free_bytes: expect.any(Number), disk_total_bytes: expect.any(Number), disk: expect.any(String) };
  expect(stores).toEqual([
    { store: "queue", bytes: expect.any(Number), ...space },
    { store: "ledger", bytes: expect.any(Number), ...space },
    { store: "dlq", bytes: expect.any(Number), ...space },
    { store: "storage", bytes: null, ...space },
  ]);
  const [job] = (await service.get<Jobs>("/operators/jobs?errors=0")).jobs;
  expect(job).toMatchObject({ job_id: id, priority: "normal", errors: [], errors_truncated: true });
  expect(job?.rate).toBeGreaterThan(0);
  expect(job?.eta_seconds).toBeGreaterThan(0);

  await service.fetch("/operators/queue/pause", { method: "POST" });
  const paused = await service.get<Overview>("/operators/overview");
  expect(paused.attention.map(({ kind }) => kind)).toEqual(["paused"]);
  await service.fetch("/operators/queue/resume", { method: "POST" });
  held.release();
  await service.finished(id);
  expect((await service.get<Jobs>(`/operators/jobs?id_prefix=${id.slice(0, 8)}`)).jobs).toMatchObject([
    { job_id: id, rate: null, eta_seconds: null },
  ]);
  // Steps of five seconds have to end.
  const rates = await eventually("a step with everything has ended", async () => {
    const { series } = await service.get<Rates>("/operators/rates?window=15m");
    const stored = series.completed?.reduce<number>((sum, value) => sum + (value ?? 0), 0);
    return stored === 3 && series.dead_letters?.findLast((value) => value !== null) === 2 ? series : undefined;
  });
  expect(rates.pending?.[0]).toBeNull();
  expect(await service.get("/operators/jobs/counts")).toMatchObject({ counts: { partial: 1 }, capped_at: null });
  const lines = await service.fetch("/operators/dlq", { headers: { accept: "application/x-ndjson" } });
  expect((await lines.text()).trimEnd().split("\n").length).toBe(2);
});

test("jobs are cancelled by a filter to their end", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { "queue.workers": 1 } });
  const held = origin.hold("/held", new Uint8Array(100));
  const submit = (tenant: string) =>
    service.submit(
      { manifest_version: "v1", resources: [{ id: "r", url: held.url }] },
      { "x-fetchbox-tenant": tenant },
    );
  const kept = await submit("kept");
  await origin.reached(1);
  const ids = [await submit("t1"), await submit("t1"), await submit("t1")];
  const cancel = async (body: object) => {
    const headers = { "content-type": "application/json" };
    const init = { method: "POST", headers, body: JSON.stringify(body) };
    return (await service.fetch("/operators/jobs/cancel", init)).json();
  };
  const filter = { tenant: "t1" };
  expect(await cancel({ filter, dry_run: true })).toEqual({ matched: 3, cancelled: 0 });
  expect(await cancel({ filter })).toEqual({ matched: 3, cancelled: 3 });
  // The worker ends tasks that were claimed for it.
  held.release();
  for (const id of ids) expect((await service.finished(id)).status).toBe("cancelled");
  expect(await cancel({ filter })).toEqual({ matched: 0, cancelled: 0 });
  expect((await service.finished(kept)).status).toBe("completed");
  expect(await service.get("/operators/jobs/counts")).toMatchObject({ counts: { completed: 1, cancelled: 3 } });
});
