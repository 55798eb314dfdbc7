import { expect, test } from "bun:test";
import { Value } from "@sinclair/typebox/value";
import { CancelledSchema } from "../../src/api/endpoints/jobs/cancel-jobs-endpoint.ts";
import { failedForGood, startTestApi, stored, type TestApi } from "./running-api.ts";

async function idsOf(api: TestApi, query: string): Promise<string[]> {
  return (await api.get("JobList", `/operators/jobs?${query}`)).jobs.map(({ job_id }) => job_id);
}

async function cancel(api: TestApi, body: object) {
  const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const response = await api.fetch("/operators/jobs/cancel", init);
  expect(response.status).toBe(200);
  return Value.Parse(CancelledSchema, await response.json());
}

async function refusedCancel(api: TestApi, body: object) {
  const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  return (await api.error("/operators/jobs/cancel", 400, init)).details;
}

test("jobs are listed by the time of their acceptance", async () => {
  await using api = await startTestApi();
  const ids: string[] = [];
  for (let minute = 0; minute < 3; minute++) {
    ids.unshift(await api.submit(1));
    api.now += 60_000;
  }
  expect(await idsOf(api, "since=2026-11-23T12:01:00Z")).toEqual(ids.slice(0, 2));
  expect(await idsOf(api, "until=2026-11-23T12:01:00Z")).toEqual(ids.slice(2));
  expect(await idsOf(api, "since=2026-11-23T12:01:00Z&until=2026-11-23T12:02:00Z")).toEqual(ids.slice(1, 2));
  const { details } = await api.error("/operators/jobs?since=yesterday", 400);
  expect(details).toEqual([{ path: "/query/since", message: "must be a time like 2026-11-23T00:00:00Z (RFC 3339)" }]);
});

test("jobs are found by the start of their ids, in any case and with or without hyphens", async () => {
  await using api = await startTestApi();
  const id = await api.submit(1);
  for (const prefix of [id, id.slice(0, 20), id.slice(0, 20).toUpperCase(), id.replaceAll("-", ""), id.slice(0, 9)])
    expect([prefix, await idsOf(api, `id_prefix=${prefix}`)]).toEqual([prefix, [id]]);
  expect(await idsOf(api, "id_prefix=00000000")).toEqual([]);
  for (const prefix of ["", id.slice(0, 7), "0123456g", `${id}0`]) {
    const { details } = await api.error(`/operators/jobs?id_prefix=${prefix}`, 400);
    expect(details).toEqual([
      { path: "/query/id_prefix", message: "must be the first 8 or more hexadecimal digits of a job id" },
    ]);
  }
});

test("a list shows as many errors of each job as were asked for", async () => {
  await using api = await startTestApi();
  await api.submit(3);
  for (const claimed of await api.claim(10)) await api.settle(claimed, failedForGood(claimed, api.now));
  const errorsOf = async (query: string) => {
    const { jobs } = await api.get("JobList", `/operators/jobs${query}`);
    return jobs.map(({ errors, errors_truncated }) => [errors.length, errors_truncated]);
  };
  expect(await errorsOf("?errors=0")).toEqual([[0, true]]);
  expect(await errorsOf("?errors=2")).toEqual([[2, true]]);
  expect(await errorsOf("")).toEqual([[3, false]]);
  await api.error("/operators/jobs?errors=101", 400);
});

test("a running job has a rate and an estimate of its end; an ended one has neither", async () => {
  await using api = await startTestApi({ speedOf: () => ({ stored: 2.04, ended: 2.5 }) });
  const id = await api.submit(10);
  const [first, ...others] = await api.claim(10);
  if (first === undefined) throw new Error("no task was claimed");
  await api.settle(first, stored(first, api.now));
  const [job] = (await api.get("JobList", "/operators/jobs")).jobs;
  expect([job?.rate, job?.eta_seconds, job?.priority]).toEqual([2, 4, "normal"]);
  for (const claimed of others) await api.settle(claimed, stored(claimed, api.now));
  expect(await api.get("Job", `/operators/jobs/${id}`)).toMatchObject({ rate: null, eta_seconds: null });
});

test("jobs are counted by status, and by type and tenant", async () => {
  await using api = await startTestApi();
  await api.submit(1, { tenant: "t1" });
  for (const claimed of await api.claim(10)) await api.settle(claimed, failedForGood(claimed, api.now));
  await api.submit(1, { tenant: "t1" });
  await api.submit(1, { tenant: "t2", jobType: "gallery" });
  const none = { queued: 0, in_progress: 0, completed: 0, partial: 0, failed: 0, cancelled: 0 };
  const counts = (query: string) => api.get("JobCounts", `/operators/jobs/counts${query}`);
  expect(await counts("")).toEqual({ counts: { ...none, queued: 2, failed: 1 }, capped_at: null });
  expect(await counts("?tenant=t1")).toEqual({ counts: { ...none, queued: 1, failed: 1 }, capped_at: null });
  expect(await counts("?job_type=gallery&tenant=t2")).toEqual({ counts: { ...none, queued: 1 }, capped_at: null });
  await api.error("/operators/jobs/counts?status=queued", 400);
});

test("many jobs are cancelled by their ids; those that ended, and unknown ones, are left out", async () => {
  await using api = await startTestApi();
  const ended = await api.submit(1);
  for (const claimed of await api.claim(10)) await api.settle(claimed, stored(claimed, api.now));
  const ids = [await api.submit(1), await api.submit(1)];
  const job_ids = [...ids, ids[0]?.toUpperCase() ?? "", ended, "019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00"];
  expect(await cancel(api, { job_ids, dry_run: true })).toEqual({ matched: 2, cancelled: 0 });
  expect(await api.stores.queue.cancellations.cancelling()).toEqual([]);
  expect(await cancel(api, { job_ids })).toEqual({ matched: 2, cancelled: 2 });
  expect((await api.stores.queue.cancellations.cancelling()).length).toBe(2);
});

test("jobs that are being cancelled already match, but do not count as cancelled", async () => {
  await using api = await startTestApi();
  const first = await api.submit(1);
  const cancelOne = async () => (await api.fetch(`/operators/jobs/${first}/cancel`, { method: "POST" })).status;
  expect(await cancelOne()).toBe(202);
  await api.submit(1);
  expect(await cancel(api, { filter: {} })).toEqual({ matched: 2, cancelled: 1 });
  expect(await cancel(api, { filter: {} })).toEqual({ matched: 2, cancelled: 0 });
  expect(await cancelOne()).toBe(202);
  const { entries } = await api.get("ActivityList", "/operators/activity");
  expect(entries.map(({ target, count }) => [target, count])).toEqual([
    ["all jobs", 1],
    [first, 1],
  ]);
});

test("jobs are cancelled by a filter, over several batches, and no others", async () => {
  await using api = await startTestApi();
  const kept = await api.submit(1, { tenant: "kept" });
  await api.submit(1, { tenant: "t1" });
  const running = await api.claim(10);
  expect(running.length).toBe(2);
  for (let i = 0; i < 250; i++) await api.submit(1, { tenant: "t1" });
  api.now += 1000;
  await api.submit(1, { tenant: "t1" });
  const filter = { tenant: "t1", until: new Date(api.now).toISOString() };
  expect(await cancel(api, { filter, dry_run: true })).toEqual({ matched: 251, cancelled: 0 });
  expect(await cancel(api, { filter: { ...filter, status: "in_progress" }, dry_run: true })).toEqual({
    matched: 1,
    cancelled: 0,
  });
  expect(await cancel(api, { filter })).toEqual({ matched: 251, cancelled: 251 });
  const cancelling = new Set(await api.stores.queue.cancellations.cancelling());
  expect(cancelling.size).toBe(251);
  expect(cancelling.has((await api.stores.ledger.findJob(kept))?.seq ?? 0)).toBe(false);
});

test("a cancellation names what is wrong with its request", async () => {
  await using api = await startTestApi();
  const both = { path: "", message: "must have either job_ids or filter" };
  expect(await refusedCancel(api, {})).toEqual([both]);
  expect(await refusedCancel(api, { filter: {}, job_ids: ["x"] })).toEqual([
    both,
    { path: "/job_ids/0", message: "must be a job id: a UUID" },
  ]);
  expect(await refusedCancel(api, { filter: { status: "failed" } })).toEqual([
    { path: "/filter/status", message: "must be one of queued, in_progress" },
  ]);
  expect((await refusedCancel(api, { filter: { host: "a" } }))[0]?.path).toBe("/filter/host");
});
