import { expect, test } from "bun:test";
import { HOST_EXAMPLE } from "../../src/api/openapi/traffic-schemas.ts";
import { ActiveDownloads } from "../../src/worker/download/active-downloads.ts";
import type { HostPosition, HostQuery } from "../../src/worker/hosts/host-directory.ts";
import { claimedTask } from "../support/claimed.ts";
import { startTestApi } from "./running-api.ts";

/** Three downloads, whose speeds and sizes differ from their order. */
function threeDownloads(): ActiveDownloads {
  const active = new ActiveDownloads();
  for (const [id, speed, total] of [
    [1, 300, 0],
    [2, 100, 9_000_000],
    [3, 200, 5_000_000],
  ] as const) {
    const url = `http://user:secret@h${id}.test/file`;
    const claimed = { ...claimedTask({ resourceId: `r${id}`, url }), id, host: `h${id}.test` };
    const trace = {
      address: "192.0.2.7",
      proxy: "http://alice:secret@proxy.test:3128",
      httpStatus: 200,
      bytes: 0,
      stage: "body" as const,
    };
    active.begin({ claimed, trace }, id * 1000);
    active.expect({ claimed }, total);
    trace.bytes = speed * (60 - id);
  }
  active.sample(60_000);
  return active;
}

test("running downloads come in the order that was asked for, without a secret", async () => {
  const active = threeDownloads();
  await using api = await startTestApi({ downloads: () => active.list() });
  const ids = async (query: string) => {
    const { total, downloads } = await api.get("DownloadList", `/operators/downloads${query}`);
    return [total, ...downloads.map(({ task_id }) => task_id)];
  };
  expect(await ids("")).toEqual([3, 2, 3, 1]);
  expect(await ids("?sort=slowest")).toEqual([3, 2, 3, 1]);
  expect(await ids("?sort=oldest")).toEqual([3, 1, 2, 3]);
  expect(await ids("?sort=largest")).toEqual([3, 2, 3, 1]);
  expect(await ids("?sort=oldest&limit=2")).toEqual([3, 1, 2]);
  expect(await ids("?host=H2.test")).toEqual([1, 2]);
  expect(await ids("?job_id=019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3fff")).toEqual([0]);
  const { downloads } = await api.get("DownloadList", "/operators/downloads?host=h1.test");
  expect(downloads).toMatchObject([
    {
      url: "http://h1.test/file",
      proxy: "http://proxy.test:3128/",
      attempt: 1,
      bytes_total: null,
      bytes_per_second: 300,
    },
  ]);
});

test("a page of hosts passes its filter and its position on, and refuses what it does not know", async () => {
  const asked: [HostQuery, HostPosition | undefined][] = [];
  const next = { block: { kind: "waiting", after: { host: "b.test", tasks: 7 } }, index: 50 } as const;
  await using api = await startTestApi({
    hosts: {
      page: (query, from) => {
        asked.push([query, from]);
        return Promise.resolve({ hosts: [HOST_EXAMPLE], next: from === undefined ? next : undefined });
      },
      find: () => Promise.resolve(undefined),
      reopen: () => Promise.resolve(undefined),
    },
  });
  const first = await api.get("HostList", "/operators/hosts?state=closed&q=Example&sort=failed&limit=7");
  expect(first.hosts).toEqual([HOST_EXAMPLE]);
  const second = await api.get("HostList", `/operators/hosts?cursor=${first.next_cursor}`);
  expect(second.next_cursor).toBeNull();
  expect(asked).toEqual([
    [{ group: "closed", contains: "example", sort: "failed", limit: 7 }, undefined],
    [{ group: undefined, contains: "", sort: "waiting", limit: 50 }, next],
  ]);
  const foreign = Buffer.from(JSON.stringify({ v: 1, list: "jobs", at: 5 })).toString("base64url");
  for (const query of ["state=probing", "sort=name", "limit=201", "limit=0", "q=", "cursor=x", `cursor=${foreign}`]) {
    const { details } = await api.error(`/operators/hosts?${query}`, 400);
    expect(details.map(({ path }) => path)).toEqual([`/query/${query.split("=", 1)[0]}`]);
  }
});

test("a host of a path is decoded, in lower case, and an unknown one is 404", async () => {
  const asked: string[] = [];
  const find = (host: string) => {
    asked.push(host);
    return Promise.resolve(host === "[::1]:8080" ? { ...HOST_EXAMPLE, host } : undefined);
  };
  await using api = await startTestApi({
    hosts: { page: () => Promise.resolve({ hosts: [], next: undefined }), find, reopen: find },
  });
  expect((await api.get("HostDetail", "/operators/hosts/%5B::1%5D%3A8080")).host).toBe("[::1]:8080");
  const line = api.answered();
  const response = await api.fetch("/operators/hosts/%5B::1%5D%3A8080/reopen", { method: "POST" });
  expect(response.status).toBe(200);
  expect(await line).toMatchObject({ level: "info", host: "[::1]:8080", route: "/operators/hosts/:host/reopen" });
  expect((await api.error("/operators/hosts/CDN.test", 404)).message).toContain("no task, download or dead letter");
  expect((await api.error("/operators/hosts/cdn.test/reopen", 404, { method: "POST" })).code).toBe("NOT_FOUND");
  for (const broken of ["%zz", "%", "%ff"]) await api.error(`/operators/hosts/${broken}`, 404);
  // A reopening looks at the host first.
  const [one, other] = ["[::1]:8080", "cdn.test"];
  expect(asked).toEqual([one, one, one, other, other, other]);
});
