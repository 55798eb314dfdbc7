import { expect, setDefaultTimeout, test } from "bun:test";
import { type DeadLetter, errorOf } from "../support/answers.ts";
import { expectIdle, expectTrueBooks } from "../support/books.ts";
import { eventually } from "../support/eventually.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { type Service, startService } from "../support/service.ts";
import { LOCAL } from "../support/storage.ts";

setDefaultTimeout(60_000);

function replay(service: Service, body: unknown): Promise<Response> {
  const headers = { "content-type": "application/json" };
  return service.fetch("/operators/dlq/replay", { method: "POST", headers, body: JSON.stringify(body) });
}

function letters(service: Service): Promise<DeadLetter[]> {
  return service.pages<DeadLetter>("/operators/dlq?limit=1000", "entries");
}

/** A job with one good resource and `gone` that are not there. */
async function failedJob(service: Service, origin: Origin, gone: number): Promise<string> {
  const resources = [
    { id: "good", url: origin.serve("/good", "good") },
    ...Array.from({ length: gone }, (_, i) => ({ id: `g${i}`, url: `${origin.url}/gone/${i}` })),
  ];
  const job = await service.submit({ manifest_version: "v1", resources });
  expect((await service.finished(job)).status).toBe("partial");
  return job;
}

function mend(origin: Origin, gone: number): void {
  for (let i = 0; i < gone; i++) origin.serve(`/gone/${i}`, `back ${i}`);
}

test("replayed dead letters are stored, and the job is as if they had never failed", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: LOCAL.settings });
  const job = await failedJob(service, origin, 3);
  expect(await (await replay(service, { filter: {}, dry_run: true })).json()).toEqual({ matched: 3, replayed: 0 });
  expect((await letters(service)).length).toBe(3);
  mend(origin, 3);
  const [first, ...others] = (await letters(service)).map(({ task_id }) => task_id);
  const some = await replay(service, { task_ids: [first, first, 999_999] });
  expect(await some.json()).toEqual({ matched: 1, replayed: 1 });
  expect((await service.finished(job)).resource_completed).toBe(2);
  const rest = await replay(service, { filter: { code: "DOWNLOAD_HTTP_404", job_id: job } });
  expect(await rest.json()).toEqual({ matched: others.length, replayed: others.length });
  expect(await service.finished(job)).toMatchObject({ status: "completed", errors: [] });
  const bodies = new Map([["good", "good"], ...[0, 1, 2].map((i) => [`g${i}`, `back ${i}`] as const)]);
  await expectTrueBooks(service, LOCAL, job, new Map([...bodies].map(([id, body]) => [id, Buffer.from(body)])));
  await expectIdle(service);
});

test("what fails again is a dead letter again, with all of its attempts", async () => {
  await using origin = await startOrigin();
  await using service = await startService();
  const job = await failedJob(service, origin, 1);
  const [letter] = await letters(service);
  for (let round = 2; round <= 3; round++) {
    expect(await (await replay(service, { task_ids: [letter?.task_id] })).json()).toEqual({ matched: 1, replayed: 1 });
    expect((await service.finished(job)).status).toBe("partial");
    const detail = await service.get<{ attempts: number; history: unknown[] }>(`/operators/dlq/${letter?.task_id}`);
    expect([detail.attempts, detail.history.length]).toEqual([1, round]);
  }
});

test("a replay may change headers, and the rate at which its tasks become due", async () => {
  await using origin = await startOrigin();
  await using service = await startService();
  const resources = Array.from({ length: 3 }, (_, i) => ({
    id: `g${i}`,
    url: `${origin.url}/gone/${i}`,
    headers: { "X-A": "old", "X-B": "kept" },
  }));
  const job = await service.submit({ manifest_version: "v1", resources });
  await service.finished(job);
  mend(origin, 3);
  const before = performance.now();
  const response = await replay(service, {
    filter: { host: new URL(origin.url).host },
    rate_per_second: 2,
    overrides: { headers: { "x-a": "new" } },
  });
  expect(await response.json()).toEqual({ matched: 3, replayed: 3 });
  expect((await service.finished(job)).status).toBe("completed");
  expect(performance.now() - before).toBeGreaterThan(900);
  const sent = origin.headers("/gone/0").join("|");
  expect(sent).toContain("x-a|new");
  expect(sent).toContain("X-B|kept");
  expect(sent).not.toContain("old");
});

test.each([
  [{}, ""],
  [{ filter: {}, task_ids: [1] }, ""],
  [{ task_ids: [] }, "/task_ids"],
  [{ task_ids: ["1"] }, "/task_ids/0"],
  [{ filter: { nonsense: "x" } }, "/filter/nonsense"],
  [{ filter: { since: "yesterday" } }, "/filter/since"],
  [{ filter: {}, rate_per_second: 0 }, "/rate_per_second"],
  [{ filter: {}, overrides: { proxy_pool: "none" } }, "/overrides/proxy_pool"],
  [{ filter: {}, overrides: { headers: { Host: "x" } } }, "/overrides/headers/Host"],
  [{ filter: {}, more: 1 }, "/more"],
])("a replay of %j is refused, with the place", async (body, path) => {
  await using service = await startService();
  const response = await replay(service, body);
  const error = await errorOf(response);
  expect([response.status, error.code]).toEqual([400, "INVALID_PAYLOAD"]);
  expect(error.details.map((detail) => detail.path)).toContain(path);
});

test("two replays of the same letters at once, and one after a kill, replay each once", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { "api.max_resources_per_manifest": 3000 } });
  const job = await failedJob(service, origin, 2000);
  mend(origin, 2000);
  const cut = Promise.all([replay(service, { filter: {} }), replay(service, { filter: {} })]).catch(() => []);
  await origin.reached(2001 + 150);
  await service.kill();
  await cut;
  await service.start();
  await (await replay(service, { filter: {} })).body?.cancel();
  expect(await service.finished(job)).toMatchObject({ status: "completed", resource_completed: 2001 });
  expect(await letters(service)).toEqual([]);
  // What was on its way at the kill was asked for again, and nothing else.
  expect(origin.hits()).toBeLessThan(2001 + 2000 + 100);
  await expectIdle(service);
});

interface Operation {
  readonly operation_id: number;
  readonly status: string;
  readonly matched: number;
  readonly met: number;
  readonly changed: number;
}

function ended(service: Service, id: number): Promise<Operation> {
  return eventually(`operation ${id} ends`, async () => {
    const operation = await service.get<Operation>(`/operators/dlq/operations/${id}`);
    return operation.status === "running" ? undefined : operation;
  });
}

test("a replay by a filter goes on in the background, and in the next process, and doubles nothing", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { "api.max_resources_per_manifest": 3000 } });
  const job = await failedJob(service, origin, 2000);
  mend(origin, 2000);
  const response = await service.fetch("/operators/dlq/replay", {
    method: "POST",
    headers: { "content-type": "application/json", prefer: "respond-async" },
    body: JSON.stringify({ filter: { code: "DOWNLOAD_HTTP_404" }, overrides: { headers: { "X-Secret": "canary" } } }),
  });
  expect(response.status).toBe(202);
  const { matched, replayed, operation } = (await response.json()) as {
    matched: number;
    replayed: number;
    operation: Operation;
  };
  expect(response.headers.get("location")).toBe(`/operators/dlq/operations/${operation.operation_id}`);
  expect(matched).toBe(2000);
  expect(replayed).toBeLessThan(2000);
  await service.kill();
  await service.start();
  expect(await ended(service, operation.operation_id)).toMatchObject({
    status: "completed",
    matched: 2000,
    met: 2000,
    changed: 2000,
  });
  expect(await service.finished(job)).toMatchObject({ status: "completed", resource_completed: 2001 });
  expect(await letters(service)).toEqual([]);
  expect(origin.headers("/gone/0").join("|")).toContain("X-Secret|canary");
  expect(await (await service.fetch("/operators/dlq/operations")).text()).not.toContain("canary");
  await expectIdle(service);
});

test("a replay that is stopped stays where it is, and what it left can be given up by a filter", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { "api.max_resources_per_manifest": 3000 } });
  const job = await failedJob(service, origin, 2000);
  const post = (path: string, body: unknown, prefer = "wait=30") =>
    service.fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json", prefer },
      body: JSON.stringify(body),
    });
  await post("/operators/queue/pause", {}); // so that nothing fails again while it is looked at
  const asked = await post("/operators/dlq/replay", { filter: {} }, "respond-async");
  const begun = (await asked.json()) as { operation: Operation };
  const stopped = await post(`/operators/dlq/operations/${begun.operation.operation_id}/stop`, {});
  const { status, changed } = (await stopped.json()) as Operation;
  expect(status).toBe("stopped");
  const left = await letters(service);
  expect(left.length).toBe(2000 - changed);
  expect(await service.job(job)).toMatchObject({ resource_failed: left.length });
  const dry = await post("/operators/dlq/give-up", { filter: { job_id: job }, dry_run: true });
  expect(await dry.json()).toEqual({ matched: left.length, given_up: 0 });
  const some = left.slice(0, 3).map(({ task_id }) => task_id);
  const [one] = some;
  const ids = await post("/operators/dlq/give-up", { task_ids: [...some, one, 999_999] });
  expect(await ids.json()).toEqual({ matched: 3, given_up: 3 });
  const rest = await post("/operators/dlq/give-up", { filter: { job_id: job } });
  expect([rest.status, await rest.json()]).toEqual([200, { matched: left.length - 3, given_up: left.length - 3 }]);
  expect(await letters(service)).toEqual([]);
  expect(await service.job(job)).toMatchObject({ resource_failed: left.length });
  expect((await post("/operators/dlq/operations/77/stop", {})).status).toBe(404);
});

test("a dead letter that is given up is gone, and its task stays failed", async () => {
  await using origin = await startOrigin();
  await using service = await startService();
  const job = await failedJob(service, origin, 2);
  const [letter] = await letters(service);
  const giveUp = () => service.fetch(`/operators/dlq/${letter?.task_id}`, { method: "DELETE" });
  expect((await giveUp()).status).toBe(204);
  const again = await giveUp();
  expect([again.status, (await errorOf(again)).code]).toEqual([404, "DLQ_ENTRY_NOT_FOUND"]);
  expect((await letters(service)).length).toBe(1);
  expect(await service.job(job)).toMatchObject({ status: "partial", resource_failed: 2 });
  expect(await (await replay(service, { filter: {} })).json()).toEqual({ matched: 1, replayed: 1 });
  await service.finished(job);
  expect((await service.logs(job)).filter(({ message }) => message === "dead letter dropped").length).toBe(1);
});

test("what changes something is for operators", async () => {
  await using service = await startService({
    env: { FETCHBOX__SERVER__AUTH__TOKENS: "operator:SECRET-OF-OPERATORS,submit:SECRET-OF-SUBMITTERS" },
    token: "SECRET-OF-SUBMITTERS",
  });
  for (const [method, path] of [
    ["POST", `/operators/jobs/${Bun.randomUUIDv7()}/cancel`],
    ["POST", "/operators/dlq/replay"],
    ["POST", "/operators/dlq/give-up"],
    ["POST", "/operators/dlq/operations/1/stop"],
    ["DELETE", "/operators/dlq/1"],
  ] as const) {
    const response = await service.fetch(path, { method });
    expect([path, response.status, (await errorOf(response)).code]).toEqual([path, 403, "FORBIDDEN"]);
  }
});

test("a dry run finds tasks that would have too many headers behind any number of others, and names ten", async () => {
  await using origin = await startOrigin();
  const toml = '[handlers.default]\nhandler = "default"\ndefault_headers = { "X-Default" = "1" }';
  await using service = await startService({ toml });
  const headers = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`X-Own-${i}`, `${i}`]));
  const more = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`X-More-${i}`, `${i}`]));
  const resources = Array.from({ length: 600 }, (_, i) => ({
    id: `${i}`,
    url: `${origin.url}/gone/${i}`,
    ...(i < 12 && { headers }),
  }));
  await service.finished(await service.submit({ manifest_version: "v1", resources }));
  const refused = await replay(service, { filter: {}, dry_run: true, overrides: { headers: more } });
  expect([refused.status, (await errorOf(refused)).details]).toEqual([
    400,
    [
      {
        path: "/overrides/headers",
        message: "with the overrides these tasks would have more than 20 headers: 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, …",
      },
    ],
  ]);
});

test("a replay may change a header of a task that has as many as a task may have, and adds none to it", async () => {
  await using origin = await startOrigin();
  const numbered = (name: string) => Array.from({ length: 10 }, (_, i): [string, string] => [`X-${name}-${i}`, `${i}`]);
  const defaults = numbered("Default").map(([name, value]) => `"${name}" = "${value}"`);
  const toml = `[handlers.default]\nhandler = "default"\ndefault_headers = { ${defaults.join(", ")} }`;
  await using service = await startService({ toml });
  const resources = [{ id: "gone", url: `${origin.url}/gone/0`, headers: Object.fromEntries(numbered("Own")) }];
  const job = await service.submit({ manifest_version: "v1", resources });
  expect((await service.finished(job)).status).toBe("failed");
  mend(origin, 1);
  const ways = [{ filter: {} }, { task_ids: [1] }];
  for (const selection of [...ways, ...ways.map((way) => ({ ...way, dry_run: true }))]) {
    const refused = await replay(service, { ...selection, overrides: { headers: { "X-More": "1" } } });
    const error = await errorOf(refused);
    expect([refused.status, error.code]).toEqual([400, "INVALID_PAYLOAD"]);
    expect(error.details).toEqual([
      { path: "/overrides/headers", message: "with the overrides these tasks would have more than 20 headers: 1" },
    ]);
  }
  expect((await letters(service)).length).toBe(1);
  const dry = await replay(service, { filter: {}, dry_run: true, overrides: { headers: { "x-own-3": "new" } } });
  expect(await dry.json()).toEqual({ matched: 1, replayed: 0 });
  const changed = await replay(service, { filter: {}, overrides: { headers: { "x-own-3": "new" } } });
  expect(await changed.json()).toEqual({ matched: 1, replayed: 1 });
  expect((await service.finished(job)).status).toBe("completed");
  const sent = origin.headers("/gone/0").join("|");
  expect(sent).toContain("x-own-3|new");
  expect(sent).toContain("X-Default-9|9");
});
