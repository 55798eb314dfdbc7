import { expect, test } from "bun:test";
import type { ResourceRow } from "../../src/api/openapi/schemas.ts";
import { failedForGood, startTestApi, stored, type TestApi, tryAgain } from "./running-api.ts";

async function resources(api: TestApi, job: string, query = ""): Promise<ResourceRow[]> {
  const rows: ResourceRow[] = [];
  let cursor: string | null = "";
  while (cursor !== null) {
    const page: { resources: ResourceRow[]; next_cursor: string | null } = await api.get(
      "ResourceList",
      `/operators/jobs/${job}/resources?${query}${cursor === "" ? "" : `&cursor=${cursor}`}`,
    );
    rows.push(...page.resources);
    cursor = page.next_cursor;
  }
  return rows;
}

/** A job of five: one stored, one failed, one waiting for its retry, one running, one pending; and another job. */
async function mixedJob(api: TestApi): Promise<string> {
  const id = await api.submit(5, { url: "https://user:pass@a.example/" });
  const tasks = await api.claim(4);
  const [first, second, third, fourth] = tasks;
  if (first === undefined || second === undefined || third === undefined || fourth === undefined) {
    throw new Error("four tasks were expected");
  }
  await api.submit(3);
  await api.settle(first, stored(first, api.now));
  await api.settle(second, failedForGood(second, api.now));
  await api.settle(third, tryAgain(api.now));
  return id;
}

const STATES: ResourceRow["state"][] = ["completed", "failed", "retrying", "running", "pending"];

test("each resource of a live job is listed once, in every state", async () => {
  await using api = await startTestApi();
  const id = await mixedJob(api);
  for (const query of ["", "limit=2", "limit=1", "limit=5"]) {
    const rows = await resources(api, id, query);
    expect(rows.map(({ resource_id, state }) => [resource_id, state])).toEqual(
      STATES.map((state, index) => [`r${index}`, state]),
    );
  }
});

test("the resources of a live job can be listed by state", async () => {
  await using api = await startTestApi();
  const id = await mixedJob(api);
  for (const state of STATES) {
    expect((await resources(api, id, `limit=1&state=${state}`)).map((row) => row.state)).toEqual([
      state as ResourceRow["state"],
    ]);
  }
  expect(await resources(api, id, "state=cancelled")).toEqual([]);
});

test("a stored resource describes its object, a failed one its failure", async () => {
  await using api = await startTestApi();
  const [done, failed] = await resources(api, await mixedJob(api));
  expect(done).toEqual({
    resource_id: "r0",
    url: "https://a.example/r0",
    final_url: "https://a.example/r0",
    state: "completed",
    attempts: 1,
    http_status: 200,
    bytes: 10,
    integrity: "verified",
    sha256: "ab".repeat(32),
    etag: "e",
    content_type: "text/plain",
    content_encoding: "gzip",
    storage_key: "s3://bucket/r0",
    error: null,
    history: [],
    started_at: "2026-11-23T12:00:00.000Z",
    finished_at: "2026-11-23T12:00:00.000Z",
  });
  expect(failed).toMatchObject({
    url: "https://a.example/r1",
    state: "failed",
    attempts: 1,
    http_status: 404,
    integrity: null,
    sha256: null,
    content_encoding: null,
    storage_key: null,
    error: { code: "DOWNLOAD_HTTP_404", message: "the origin answered 404" },
  });
});

test("a resource that waits for its retry shows its latest failure", async () => {
  await using api = await startTestApi();
  const rows = await resources(api, await mixedJob(api));
  expect(rows[2]).toMatchObject({
    attempts: 1,
    http_status: 502,
    error: { code: "DOWNLOAD_HTTP_502" },
    history: [{ code: "DOWNLOAD_HTTP_502", http_status: 502, body_start: null }],
    finished_at: null,
  });
  expect(rows[4]).toMatchObject({
    attempts: 0,
    http_status: null,
    content_encoding: null,
    error: null,
    started_at: null,
  });
});

test("a finished job lists its resources from the ledger", async () => {
  await using api = await startTestApi();
  const id = await api.submit(3);
  for (const claimed of await api.claim(3)) {
    const isFirst = claimed.task.resourceId === "r0";
    await api.settle(claimed, isFirst ? failedForGood(claimed, api.now) : stored(claimed, api.now));
  }
  for (const query of ["", "limit=1", "limit=2", "limit=3"]) {
    expect((await resources(api, id, query)).map(({ resource_id }) => resource_id)).toEqual(["r0", "r1", "r2"]);
  }
  expect((await resources(api, id, "limit=1&state=completed")).map((row) => row.resource_id)).toEqual(["r1", "r2"]);
  expect((await resources(api, id, "state=failed")).map((row) => row.resource_id)).toEqual(["r0"]);
  expect(await resources(api, id, "state=pending")).toEqual([]);
});

test("no userinfo and no header of a task is served or logged", async () => {
  await using api = await startTestApi();
  const body = JSON.stringify({
    resources: [{ id: "r0", url: "https://joe:PASSWORD@a.example/", headers: { Authorization: "HEADER-SECRET" } }],
  });
  const accepted = await api.fetch("/jobs", { method: "POST", headers: { "content-type": "application/json" }, body });
  expect(accepted.status).toBe(202);
  const [claimed] = await api.claim(1);
  if (claimed === undefined) throw new Error("a task was expected");
  const id = claimed.job.jobId;
  const served: string[] = [];
  const serve = async (...paths: string[]) => {
    for (const path of paths) served.push(await (await api.fetch(path)).text());
  };
  await serve(`/operators/jobs/${id}/resources`);
  await api.settle(claimed, failedForGood(claimed, api.now));
  const paths = ["", "/resources", "/logs"].map((part) => `/operators/jobs/${id}${part}`);
  await serve(...paths, "/operators/jobs", "/operators/dlq", `/operators/dlq/${claimed.id}`, "/metrics");
  expect(served.join()).toContain("a.example");
  expect(served.join() + JSON.stringify(api.lines)).not.toMatch(/joe|PASSWORD|HEADER-SECRET/);
});

test("an unknown job, a bad state and a bad cursor are refused", async () => {
  await using api = await startTestApi();
  expect((await api.error("/operators/jobs/none/resources", 404)).code).toBe("JOB_NOT_FOUND");
  const id = await api.submit(1);
  const { details } = await api.error(`/operators/jobs/${id}/resources?state=done&cursor=a`, 400);
  expect(details.map(({ path }) => path)).toEqual(["/query/state", "/query/cursor"]);
});
