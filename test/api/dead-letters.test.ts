import { expect, test } from "bun:test";
import { failedForGood, startTestApi, type TestApi, tryAgain } from "./running-api.ts";

async function fail(api: TestApi, status: number): Promise<void> {
  for (const claimed of await api.claim(10)) await api.settle(claimed, failedForGood(claimed, api.now, status));
}

async function listed(api: TestApi, query: string): Promise<string[][]> {
  const pages: string[][] = [];
  let cursor: string | null = "";
  while (cursor !== null) {
    const page: { entries: { url: string }[]; next_cursor: string | null } = await api.get(
      "DeadLetterList",
      `/operators/dlq?${query}${cursor === "" ? "" : `&cursor=${cursor}`}`,
    );
    pages.push(page.entries.map(({ url }) => url));
    cursor = page.next_cursor;
  }
  return pages;
}

/** Three dead letters, a second apart: two of a job for a.example, one of another for b.example:81. */
async function threeLetters(api: TestApi): Promise<[string, string]> {
  const first = await api.submit(2, { url: "https://joe:PASSWORD@a.example/" });
  await fail(api, 404);
  api.now += 1000;
  const second = await api.submit(1, { jobType: "gallery", tenant: "t1", url: "http://b.example:81/" });
  await fail(api, 410);
  return [first, second];
}

const A0 = "https://a.example/r0";
const A1 = "https://a.example/r1";
const B0 = "http://b.example:81/r0";

test("dead letters are listed newest first, page by page, each once", async () => {
  await using api = await startTestApi();
  await threeLetters(api);
  expect(await listed(api, "")).toEqual([[B0, A1, A0]]);
  expect(await listed(api, "limit=2")).toEqual([[B0, A1], [A0]]);
  expect(await listed(api, "limit=1")).toEqual([[B0], [A1], [A0]]);
});

test("dead letters are filtered by each of their properties", async () => {
  await using api = await startTestApi();
  const [first, second] = await threeLetters(api);
  const filters: [string, string[]][] = [
    ["code=DOWNLOAD_HTTP_404", [A1, A0]],
    ["host=a.example", [A1, A0]],
    ["host=B.example:81", [B0]],
    ["host=b.example", []],
    [`job_id=${first}`, [A1, A0]],
    [`job_id=${second.toUpperCase()}`, [B0]],
    ["job_type=gallery", [B0]],
    ["tenant=default", [A1, A0]],
    ["since=2026-11-23T12:00:01Z", [B0]],
    ["since=2026-11-23T13:00:01%2B01:00", [B0]],
    ["since=2026-11-23T13:00:01+01:00", [B0]],
    ["until=2026-11-23T12:00:01.000Z", [A1, A0]],
    ["since=2026-11-23T12:00:00Z&until=2026-11-23T12:00:02Z&tenant=t1", [B0]],
  ];
  for (const [filter, urls] of filters) expect([filter, await listed(api, filter)]).toEqual([filter, [urls]]);
  expect(await listed(api, "limit=1&code=DOWNLOAD_HTTP_404")).toEqual([[A1], [A0]]);
});

test("a dead letter has its cause and every attempt, with time, duration and proxy", async () => {
  await using api = await startTestApi();
  const id = await api.submit(1);
  const [claimed] = await api.claim(1);
  if (claimed === undefined) throw new Error("a task was expected");
  await api.settle(claimed, tryAgain(api.now));
  api.now += 1000;
  await fail(api, 404);
  const attempt = { duration_ms: 12, proxy: "http://proxy:8080/", address: null, bytes: 0, body_start: null };
  expect(await api.get("DeadLetterDetail", `/operators/dlq/${claimed.id}`)).toEqual({
    task_id: claimed.id,
    job_id: id,
    job_type: "default",
    tenant: "default",
    resource_id: "r0",
    url: A0,
    failure_code: "DOWNLOAD_HTTP_404",
    failure_message: "the origin answered 404",
    attempts: 2,
    failed_at: "2026-11-23T12:00:01.000Z",
    history: [
      {
        ...attempt,
        started_at: "2026-11-23T12:00:00.000Z",
        code: "DOWNLOAD_HTTP_502",
        message: "the origin answered 502",
        http_status: 502,
      },
      {
        ...attempt,
        started_at: "2026-11-23T12:00:01.000Z",
        code: "DOWNLOAD_HTTP_404",
        message: "the origin answered 404",
        http_status: 404,
      },
    ],
  });
});

test("a task that is not a dead letter is not found", async () => {
  await using api = await startTestApi();
  for (const id of ["1", "0", "-1", "1.5", "x", "99999999999999999999", "0x1"]) {
    expect((await api.error(`/operators/dlq/${id}`, 404)).code).toBe("DLQ_ENTRY_NOT_FOUND");
  }
});

test.each<[object, string, string]>([
  [{ rate_per_second: 0 }, "/rate_per_second", "must be a number from 0.001 to 1000000"],
  [{ rate_per_second: 1e7 }, "/rate_per_second", "must be a number from 0.001 to 1000000"],
  [{ rate_per_second: "5" }, "/rate_per_second", "must be a number from 0.001 to 1000000"],
  [{ task_ids: Array.from({ length: 1001 }, (_, at) => at + 1) }, "/task_ids", "must have at most 1000 elements"],
  [{ task_ids: [] }, "/task_ids", "must have at least 1 element"],
])("the replay %j is refused in words", async (body, path, message) => {
  await using api = await startTestApi();
  const headers = { "content-type": "application/json" };
  const init = { method: "POST", headers, body: JSON.stringify(body) };
  expect((await api.error("/operators/dlq/replay", 400, init)).details).toEqual([{ path, message }]);
});

test.each([
  "code=a b",
  "host=",
  "job_id=1",
  "job_type=A",
  "since=yesterday",
  "until=2026-13-01T00:00:00Z",
  "since=2026-11-23",
])("the filter %s is refused", async (filter) => {
  await using api = await startTestApi();
  const { details } = await api.error(`/operators/dlq?${filter}`, 400);
  expect(details.map(({ path }) => path)).toEqual([`/query/${filter.split("=")[0]}`]);
});

test("dead letters are counted by code, host, job type and day, against the total, and by a filter", async () => {
  await using api = await startTestApi();
  await threeLetters(api);
  api.now += 86_400_000;
  await api.submit(1, { url: "https://a.example/" });
  await fail(api, 404);
  const groups = async (query: string) => {
    const analysis = await api.get("Analysis", `/operators/dlq/analysis?${query}`);
    return [analysis.by, analysis.total, ...analysis.groups.map(({ key, count, share }) => [key, count, share])];
  };
  expect(await groups("")).toEqual(["code", 4, ["DOWNLOAD_HTTP_404", 3, 0.75], ["DOWNLOAD_HTTP_410", 1, 0.25]]);
  expect(await groups("by=host")).toEqual(["host", 4, ["a.example", 3, 0.75], ["b.example:81", 1, 0.25]]);
  expect(await groups("by=job_type")).toEqual(["job_type", 4, ["default", 3, 0.75], ["gallery", 1, 0.25]]);
  expect(await groups("by=day")).toEqual(["day", 4, ["2026-11-24", 1, 0.25], ["2026-11-23", 3, 0.75]]);
  expect(await groups("by=host&code=DOWNLOAD_HTTP_410")).toEqual(["host", 1, ["b.example:81", 1, 1]]);
  expect(await groups("by=host&tenant=nobody")).toEqual(["host", 0]);
  const { groups: all, groups_truncated } = await api.get("Analysis", "/operators/dlq/analysis?by=code");
  expect([all[0], groups_truncated]).toEqual([
    {
      key: "DOWNLOAD_HTTP_404",
      count: 3,
      share: 0.75,
      first_seen: "2026-11-23T12:00:00.000Z",
      last_seen: "2026-11-24T12:00:01.000Z",
      sample_task_id: 4,
    },
    false,
  ]);
  expect((await api.error("/operators/dlq/analysis?by=url", 400)).details).toEqual([
    { path: "/query/by", message: "must be one of code, host, job_type, day" },
  ]);
});

test.each([
  "2026-02-30T00:00:00Z",
  "2026-13-01T00:00:00Z",
  "2026-01-01T24:00:00Z",
  "2026-01-01T23:60:00Z",
  "2026-01-01",
  "now",
])("%s is no time", async (since) => {
  await using api = await startTestApi();
  expect((await api.error(`/operators/dlq?since=${since}`, 400)).details[0]?.path).toBe("/query/since");
});
