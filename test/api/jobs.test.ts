import { expect, test } from "bun:test";
import { jobEndpoints } from "../../src/api/endpoints/job-endpoints.ts";
import { withLateRead } from "../support/late-read.ts";
import { claimedJob, discard, settle } from "../support/sample-jobs.ts";
import { openTestStores } from "../support/stores.ts";
import { failedForGood, startTestApi, stored, type TestApi, tryAgain } from "./running-api.ts";

async function jobIdsByPages(api: TestApi, query: string): Promise<string[][]> {
  const pages: string[][] = [];
  let cursor: string | null = "";
  while (cursor !== null) {
    const page: { jobs: { job_id: string }[]; next_cursor: string | null } = await api.get(
      "JobList",
      `/operators/jobs?${query}${cursor === "" ? "" : `&cursor=${cursor}`}`,
    );
    pages.push(page.jobs.map((job) => job.job_id));
    cursor = page.next_cursor;
  }
  return pages;
}

test("an unknown job is not found", async () => {
  await using api = await startTestApi();
  for (const id of ["019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00", "x", "%zz", "%00"]) {
    expect((await api.error(`/operators/jobs/${id}`, 404)).code).toBe("JOB_NOT_FOUND");
  }
});

test("a new job is queued, and its counters are 0", async () => {
  await using api = await startTestApi();
  const id = await api.submit(3, { jobType: "gallery", tenant: "t1" });
  expect(await api.get("Job", `/operators/jobs/${id}`)).toEqual({
    job_id: id,
    job_type: "gallery",
    tenant: "t1",
    priority: "normal",
    trace_id: expect.stringMatching(/^[0-9a-f]{32}$/) as unknown as string,
    status: "queued",
    resource_total: 3,
    resource_completed: 0,
    resource_failed: 0,
    resource_cancelled: 0,
    bytes_stored: 0,
    manifest_key: `s3://bucket/manifests/gallery/${id}/metadata.json`,
    created_at: "2026-11-23T12:00:00.000Z",
    updated_at: "2026-11-23T12:00:00.000Z",
    completed_at: null,
    rate: null,
    eta_seconds: null,
    log_count: 1,
    errors: [],
    errors_truncated: false,
  });
});

test("a finished job has its counters, its errors and its end", async () => {
  await using api = await startTestApi();
  const id = await api.submit(2);
  const [first, second] = await api.claim(10);
  if (first === undefined || second === undefined) throw new Error("two tasks were expected");
  await api.settle(first, stored(first, api.now));
  expect((await api.get("Job", `/operators/jobs/${id}`)).status).toBe("in_progress");
  api.now += 1500;
  await api.settle(second, failedForGood(second, api.now));
  const job = await api.get("Job", `/operators/jobs/${id}`);
  expect(job).toMatchObject({
    status: "partial",
    resource_completed: 1,
    resource_failed: 1,
    bytes_stored: 10,
    completed_at: "2026-11-23T12:00:01.500Z",
    errors: [
      {
        resource_id: "r1",
        code: "DOWNLOAD_HTTP_404",
        message: "the origin answered 404",
        attempts: 1,
        timestamp: "2026-11-23T12:00:01.500Z",
      },
    ],
    errors_truncated: false,
  });
});

test("a job lists no more errors than it counts, though a task fails while it is read", async () => {
  await using stores = openTestStores();
  const [first, second] = await claimedJob(stores, 3);
  if (first === undefined || second === undefined) throw new Error("too few were claimed");
  await settle(stores, first, discard);
  const read = Promise.withResolvers<void>();
  const ledger = withLateRead(stores.stores.ledger, "findJob", () => read.promise);
  const endpoint = jobEndpoints({ ledger, cancel: () => Promise.resolve("ended"), speedOf: () => undefined }).find(
    ({ path }) => path.endsWith("/:job_id"),
  );
  const answer = endpoint?.answer({
    request: new Request("http://localhost/"),
    params: { job_id: first.job.jobId },
    requestId: "",
    caller: undefined,
    requireRights: () => {},
    address: "",
    note: () => {},
    recordActivity: () => {},
  });
  await settle(stores, second, discard);
  read.resolve();
  expect(await (await answer)?.json()).toMatchObject({
    resource_failed: 1,
    errors: [{ resource_id: first.task.resourceId }],
    errors_truncated: false,
  });
});

test("of many errors the first hundred are listed", async () => {
  await using api = await startTestApi();
  const id = await api.submit(101);
  for (const claimed of await api.claim(200)) await api.settle(claimed, failedForGood(claimed, api.now));
  const job = await api.get("Job", `/operators/jobs/${id}`);
  expect([job.status, job.resource_failed, job.errors.length, job.errors_truncated]).toEqual([
    "failed",
    101,
    100,
    true,
  ]);
  expect(job.errors.at(-1)?.resource_id).toBe("r99");
});

test("jobs are listed newest first, page by page, each once", async () => {
  await using api = await startTestApi();
  const ids: string[] = [];
  for (let index = 0; index < 7; index++) ids.unshift(await api.submit(1));
  expect(await jobIdsByPages(api, "limit=3")).toEqual([ids.slice(0, 3), ids.slice(3, 6), ids.slice(6)]);
  expect(await jobIdsByPages(api, "limit=7")).toEqual([ids]);
  expect(await jobIdsByPages(api, "")).toEqual([ids]);
});

test("jobs can be listed by status, type and tenant", async () => {
  await using api = await startTestApi();
  const a = await api.submit(1, { jobType: "gallery" });
  const b = await api.submit(1, { tenant: "t1" });
  const c = await api.submit(1, { jobType: "gallery", tenant: "t1" });
  const [claimed] = await api.claim(1);
  if (claimed === undefined) throw new Error("a task was expected");
  expect(claimed.job.jobId).toBe(a);
  await api.settle(claimed, stored(claimed, api.now));
  expect(await jobIdsByPages(api, "job_type=gallery&limit=1")).toEqual([[c], [a]]);
  expect(await jobIdsByPages(api, "tenant=t1")).toEqual([[c, b]]);
  expect(await jobIdsByPages(api, "tenant=t1&job_type=gallery")).toEqual([[c]]);
  expect(await jobIdsByPages(api, "status=completed")).toEqual([[a]]);
  expect(await jobIdsByPages(api, "status=failed")).toEqual([[]]);
});

test.each([
  ["limit=0", "/query/limit"],
  ["limit=1001", "/query/limit"],
  ["limit=1e2", "/query/limit"],
  ["limit=", "/query/limit"],
  ["limit=-1", "/query/limit"],
  ["limit=5&limit=6", "/query/limit"],
  ["status=done", "/query/status"],
  ["status=", "/query/status"],
  ["job_type=A", "/query/job_type"],
  ["tenant=", "/query/tenant"],
  ["state=completed", "/query/state"],
  ["a/b~c=1", "/query/a~1b~0c"],
  ["__proto__=1", "/query/__proto__"],
  ["cursor=", "/query/cursor"],
  ["cursor=xyz", "/query/cursor"],
  ["cursor=bnVsbA", "/query/cursor"],
  [`cursor=${"a".repeat(5000)}`, "/query/cursor"],
])("the query %s is refused", async (query, path) => {
  await using api = await startTestApi();
  const { code, details } = await api.error(`/operators/jobs?${query}`, 400);
  expect(code).toBe("INVALID_PAYLOAD");
  expect(details.map((violation) => violation.path)).toEqual([path]);
});

test("a cursor of one list is refused by another", async () => {
  await using api = await startTestApi();
  await api.submit(1);
  const id = await api.submit(1);
  const { next_cursor } = await api.get("JobList", "/operators/jobs?limit=1");
  await api.error(`/operators/jobs/${id}/resources?cursor=${next_cursor}`, 400);
  await api.error(`/operators/dlq?cursor=${next_cursor}`, 400);
});

test("the log of a job is read page by page, and later rows follow from the last offset", async () => {
  await using api = await startTestApi();
  const id = await api.submit(2);
  const path = `/operators/jobs/${id}/logs`;
  const start = await api.get("LogPage", path);
  expect(start).toMatchObject({ job_id: id, next_offset: 1, logs: [{ offset: 0, level: "info", resource_id: null }] });
  expect(start.logs[0]?.trace_id).toMatch(/^[0-9a-f]{32}$/);
  const [first, second] = await api.claim(2);
  if (first === undefined || second === undefined) throw new Error("two tasks were expected");
  await api.settle(first, failedForGood(first, api.now));
  await api.settle(second, tryAgain(api.now));

  const more = await api.get("LogPage", `${path}?offset=1&limit=2`);
  expect(more.logs.map(({ offset, level, resource_id }) => [offset, level, resource_id])).toEqual([
    [1, "warn", "r0"],
    [2, "error", "r0"],
  ]);
  expect(more.logs[0]?.fields).toMatchObject({ code: "DOWNLOAD_HTTP_404", attempts: 1 });
  expect(more.next_offset).toBe(3);
  expect(await api.get("LogPage", `${path}?offset=3`)).toMatchObject({ logs: [{ offset: 3 }], next_offset: 4 });
  expect(await api.get("LogPage", `${path}?offset=4`)).toMatchObject({ logs: [], next_offset: 4 });
  expect(await api.get("LogPage", `${path}?offset=9`)).toMatchObject({ logs: [], next_offset: 9 });
});

test("the log can be read from a level on", async () => {
  await using api = await startTestApi();
  const id = await api.submit(1);
  const [claimed] = await api.claim(1);
  if (claimed === undefined) throw new Error("a task was expected");
  await api.settle(claimed, failedForGood(claimed, api.now));
  const offsets = async (query: string) => {
    const page = await api.get("LogPage", `/operators/jobs/${id}/logs?${query}`);
    return [page.logs.map(({ offset }) => offset), page.next_offset];
  };
  expect(await offsets("level=debug")).toEqual([[0, 1, 2, 3], 4]);
  expect(await offsets("level=warn")).toEqual([[1, 2], 4]);
  expect(await offsets("level=error")).toEqual([[2], 4]);
  expect(await offsets("level=warn&limit=1")).toEqual([[1], 2]);
});

test("the log of an unknown job and a malformed query are refused", async () => {
  await using api = await startTestApi();
  await api.error("/operators/jobs/none/logs", 404);
  const id = await api.submit(1);
  expect((await api.error(`/operators/jobs/${id}/logs?offset=-1&level=loud`, 400)).details).toHaveLength(2);
});

test("the manifest of a job is the stored object, without raw characters that control a terminal", async () => {
  let body = '{"manifest_version":"v1",\n "metadata":{"n":12345678901234567890},"resources":[{"id":"\u202ex"}]}';
  const store = {
    refOf: (url: string) => ({ bucket: "b", key: url }),
    read: () => Promise.resolve(new Response(body).body ?? undefined),
  };
  await using api = await startTestApi({ store });
  const job = await api.submit(1);
  const shown = body.replace("\u202e", "\\u202e");
  expect(await (await api.fetch(`/operators/jobs/${job}/manifest`)).text()).toBe(shown);
  body = "<script>";
  expect((await api.error(`/operators/jobs/${job}/manifest`, 503)).message).toContain("another object");
});

test("a manifest that the storage does not have is not found, and one that it cannot give is unavailable", async () => {
  let failure: Error | undefined;
  const store = {
    refOf: (url: string) => ({ bucket: "b", key: url }),
    read: () => (failure === undefined ? Promise.resolve(undefined) : Promise.reject(failure)),
  };
  await using api = await startTestApi({ store });
  const path = `/operators/jobs/${await api.submit(1)}/manifest`;
  expect((await api.error(path, 404)).message).toBe("the storage no longer has the manifest of this job");
  failure = new Error("connection refused");
  expect((await api.error(path, 503)).code).toBe("STORAGE_UNAVAILABLE");
});
