import { expect, test } from "bun:test";
import type { Static } from "@sinclair/typebox";
import type { ActivityListSchema } from "../../src/api/console/activity-endpoint.ts";
import type { AuthSettings } from "../../src/api/http/access.ts";
import { parseAccessToken } from "../../src/config/values/access-token.ts";
import { BulkOperationRunner } from "../../src/operations/bulk-operation-runner.ts";
import { FakeClock } from "../support/clock.ts";
import { withLateRead } from "../support/late-read.ts";
import { failedForGood, startTestApi, type TestApi } from "./running-api.ts";

const ALICE = "ALICE-SECRET-OF-THIS-TEST";
const NAMELESS = "NAMELESS-SECRET-OF-THIS-TEST";
const auth = {
  mode: "token",
  tokens: [`operator/alice:${ALICE}`, `operator:${NAMELESS}`].map(parseAccessToken),
} as const;

interface Change {
  readonly body?: object | undefined;
  readonly token?: string;
  readonly method?: string;
  readonly prefer?: string;
}

function changing(
  api: TestApi,
  path: string,
  { body, token = ALICE, method = "POST", prefer = "wait=5" }: Change = {},
): Promise<Response> {
  return api.fetch(path, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json", "x-request-id": path, prefer },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
}

async function operationsOf(api: TestApi) {
  const headers = { authorization: `Bearer ${ALICE}` };
  return (await (await api.fetch("/operators/dlq/operations", { headers })).json()) as {
    operations: { kind: string; started_by: string | null }[];
  };
}

async function list(api: TestApi, query = "") {
  const headers = { authorization: `Bearer ${ALICE}` };
  return (await (await api.fetch(`/operators/activity${query}`, { headers })).json()) as {
    entries: Static<typeof ActivityListSchema>["entries"];
    next_cursor: string | null;
  };
}

test("changes of dead letters and jobs are listed with filter and count, and an operation has the name of its starter", async () => {
  const settings: AuthSettings = { mode: "token", tokens: [] };
  await using api = await startTestApi({ auth: settings });
  const job = await api.submit(16);
  for (const claimed of await api.claim(15)) await api.settle(claimed, failedForGood(claimed, api.now));
  settings.tokens = auth.tokens;
  const ids = Array.from({ length: 11 }, (_, at) => at + 1);
  const since = "2026-01-01T00:00:00.000Z";
  for (const [path, body, token, status] of [
    ["/operators/dlq/replay", { task_ids: ids, dry_run: true }, ALICE, 200],
    ["/operators/dlq/replay", { task_ids: ids }, ALICE, 200],
    ["/operators/dlq/replay", { task_ids: ids }, ALICE, 200],
    ["/operators/dlq/give-up", { filter: { code: "DOWNLOAD_HTTP_404", since }, dry_run: true }, ALICE, 200],
    ["/operators/dlq/replay", { filter: { code: "DOWNLOAD_HTTP_500" } }, ALICE, 200],
  ] as const)
    expect((await changing(api, path, { body, token })).status).toBe(status);
  expect((await changing(api, "/operators/dlq/12", { method: "DELETE" })).status).toBe(204);
  const filter = { code: "DOWNLOAD_HTTP_404", host: "a.example", job_id: job, since };
  expect((await changing(api, "/operators/dlq/give-up", { body: { filter } })).status).toBe(200);
  await changing(api, "/operators/dlq/replay", { body: { filter: {} } });
  expect((await changing(api, `/operators/jobs/${job}/cancel`, { token: NAMELESS })).status).toBe(202);
  expect((await list(api)).entries.map(({ action, target, count, token }) => [action, target, count, token])).toEqual([
    ["cancel", job, 1, null],
    ["discard", `code=DOWNLOAD_HTTP_404 host=a.example job_id=${job} since=${since}`, 3, "alice"],
    ["discard", "task_ids=12", 1, "alice"],
    ["replay", "task_ids=1,2,3,4,5,6,7,8,9,10,…", 11, "alice"],
  ]);
  const { operations } = await operationsOf(api);
  expect(operations.map(({ kind, started_by }) => [kind, started_by])).toEqual([["give_up", "alice"]]);
});

test("a cancellation of all jobs has a target", async () => {
  const settings: AuthSettings = { mode: "token", tokens: [] };
  await using api = await startTestApi({ auth: settings });
  await api.submit(1);
  settings.tokens = auth.tokens;
  expect((await changing(api, "/operators/jobs/cancel", { body: { filter: {} } })).status).toBe(200);
  const { entries } = await list(api);
  expect(entries.map(({ action, target, count }) => [action, target, count])).toEqual([["cancel", "all jobs", 1]]);
});

test("an operation that is stopped is listed once, and has no starter's name for a nameless token", async () => {
  await using open = await startTestApi();
  const { stores } = open;
  await open.submit(3);
  for (const claimed of await open.claim(3)) await open.settle(claimed, failedForGood(claimed, open.now));
  const read = Promise.withResolvers<void>();
  const operations = new BulkOperationRunner({
    deadLetterChanges: stores.queue.deadLetters,
    deadLetters: withLateRead(stores.deadLetters, "full", () => read.promise),
    clock: new FakeClock(),
    onQueueError: (error) => {
      throw error;
    },
    signal: new AbortController().signal,
  });
  const stop = operations.stop.bind(operations);
  operations.stop = (id) => {
    const stopped = stop(id);
    read.resolve();
    return stopped;
  };
  await using api = await startTestApi({ auth, operations, queue: stores.queue, deadLetters: stores.deadLetters });
  const started = await changing(api, "/operators/dlq/replay", {
    body: { filter: {} },
    token: NAMELESS,
    prefer: "respond-async",
  });
  expect(await started.json()).toMatchObject({ operation: { status: "running", started_by: null } });
  for (let at = 0; at < 2; at++) await changing(api, "/operators/dlq/operations/1/stop");
  const { entries } = await list(api);
  expect(entries.at(-1)).toMatchObject({ action: "replay", target: "all dead letters", count: 3, token: null });
  expect(entries.slice(0, -1)).toEqual([
    expect.objectContaining({ action: "stop", target: "operation 1", token: "alice" }),
  ]);
});

test("changes of operators are listed, the newest first; what changed nothing is not", async () => {
  await using api = await startTestApi({ auth });
  expect(await list(api)).toEqual({ entries: [], next_cursor: null });
  for (const path of ["/operators/queue/pause", "/operators/queue/pause", "/operators/queue/resume"])
    expect((await changing(api, path, { token: path.endsWith("resume") ? NAMELESS : ALICE })).status).toBe(200);
  for (const [path, body] of [
    ["/operators/dlq/replay", { filter: {} }],
    ["/operators/dlq/give-up", { task_ids: [1] }],
    ["/operators/dlq/replay", { filter: { code: 1 } }],
    ["/operators/jobs/019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00/cancel", undefined],
    ["/operators/dlq/operations/1/stop", undefined],
  ] as const)
    await changing(api, path, { body });
  await changing(api, "/operators/session", { body: { token: NAMELESS } });
  await changing(api, "/operators/session", { body: { token: "GUESSED-SECRET-OF-THIS-TEST" } });
  await changing(api, "/operators/session", { body: { token: ALICE }, token: NAMELESS });
  const at = new Date(api.now).toISOString();
  const entry = { at, count: null, target: null };
  expect(await list(api)).toEqual({
    entries: [
      { ...entry, token: "alice", action: "sign-in", target: "operator", request_id: "/operators/session" },
      { ...entry, token: null, action: "sign-in", target: "operator", request_id: "/operators/session" },
      { ...entry, token: null, action: "resume", request_id: "/operators/queue/resume" },
      { ...entry, token: "alice", action: "pause", request_id: "/operators/queue/pause" },
    ],
    next_cursor: null,
  });
});

test("the latest 1000 changes are kept, and read in pages", async () => {
  await using api = await startTestApi({ auth });
  for (let at = 0; at < 502; at++)
    for (const change of ["pause", "resume"]) await changing(api, `/operators/queue/${change}`);
  const actions: string[] = [];
  let cursor: string | null = "";
  while (cursor !== null) {
    const page = await list(api, `?limit=300${cursor === "" ? "" : `&cursor=${cursor}`}`);
    actions.push(...page.entries.map(({ action }) => action));
    expect(page.entries.length).toBeLessThanOrEqual(300);
    cursor = page.next_cursor;
  }
  expect(actions).toEqual(Array.from({ length: 1000 }, (_, at) => (at % 2 === 0 ? "resume" : "pause")));
});
