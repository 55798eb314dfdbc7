import { expect, test } from "bun:test";
import { errorOf } from "../support/answers.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { prepareService, type Service, startService } from "../support/service.ts";

const KEY = "x-fetchbox-idempotency-key";
const HANDLER = `export default ({ gate }) => ({
  async prepare(manifest) { await (await fetch(gate)).text(); return manifest; },
  *buildTasks({ resources }) { for (const { id, url } of resources) yield { resourceId: id, url }; },
});`;

function manifestOf(origin: Origin): string {
  return JSON.stringify({ manifest_version: "v1", resources: [{ id: "a", url: origin.serve("/a", "abc") }] });
}

async function jobsOf(service: Service): Promise<number> {
  return (await service.get<{ jobs: unknown[] }>("/operators/jobs")).jobs.length;
}

test("the same submission under a key has the first one's answer, also after a crash, and is done once", async () => {
  await using origin = await startOrigin();
  await using service = await startService();
  const manifest = manifestOf(origin);
  const first = await service.post(manifest, { [KEY]: "k1" });
  const answer = await first.text();
  expect([first.status, first.headers.get("idempotent-replayed")]).toEqual([202, null]);

  const again = async (headers: Record<string, string>, body: string | Uint8Array = manifest) => {
    const response = await service.post(body, headers);
    expect([response.status, response.headers.get("idempotent-replayed"), await response.text()]).toEqual([
      202,
      "true",
      answer,
    ]);
  };
  await again({ [KEY]: "k1" });
  await again({ "idempotency-key": "k1" });
  await again({ [KEY]: "k1", "idempotency-key": "k1", "x-fetchbox-tenant": "default" });
  // The decoded bytes count, not how they were sent.
  await again({ [KEY]: "k1", "content-encoding": "gzip" }, Bun.gzipSync(manifest));
  await service.kill();
  await service.start();
  await again({ [KEY]: "k1" });
  expect(await jobsOf(service)).toBe(1);
});

test("a key belongs to one payload, one job type and one tenant", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ toml: '[handlers.other]\nhandler = "default"\n' });
  const manifest = manifestOf(origin);
  expect((await service.post(manifest, { [KEY]: "k1" })).status).toBe(202);

  for (const [body, headers] of [
    [`${manifest} `, {}],
    [manifest, { "x-fetchbox-job-type": "other" }],
  ] as const) {
    const reused = await service.post(body, { [KEY]: "k1", ...headers });
    expect(reused.status).toBe(422);
    expect((await errorOf(reused)).code).toBe("IDEMPOTENCY_KEY_REUSED");
  }
  const elsewhere = await service.post(`${manifest}\n`, { [KEY]: "k1", "x-fetchbox-tenant": "elsewhere" });
  expect([elsewhere.status, elsewhere.headers.get("idempotent-replayed")]).toEqual([202, null]);
  expect(await jobsOf(service)).toBe(2);
});

test("a submission that is refused frees its key", async () => {
  await using origin = await startOrigin();
  await using service = await startService();
  expect((await service.post("{}", { [KEY]: "k1" })).status).toBe(400);
  const response = await service.post(manifestOf(origin), { [KEY]: "k1" });
  expect([response.status, response.headers.get("idempotent-replayed")]).toEqual([202, null]);
});

test("while a submission is being processed, another one under its key is told so", async () => {
  await using origin = await startOrigin();
  const gate = origin.hold("/gate", Buffer.from("open"));
  await using service = await startService({
    toml: `[handlers.slow]\nhandler = "slow.ts"\noptions = { gate = "${gate.url}" }\n`,
    files: { "slow.ts": HANDLER },
  });
  const manifest = manifestOf(origin);
  const headers = { [KEY]: "k1", "x-fetchbox-job-type": "slow" };
  const first = service.post(manifest, headers);
  await gate.reached;
  const second = await service.post(manifest, headers);
  expect(second.status).toBe(409);
  expect((await errorOf(second)).code).toBe("IDEMPOTENCY_IN_PROGRESS");
  const other = await service.post(`${manifest} `, headers);
  expect([other.status, (await errorOf(other)).code]).toEqual([422, "IDEMPOTENCY_KEY_REUSED"]);
  const tenant = service.post(manifest, { ...headers, "x-fetchbox-tenant": "elsewhere" });
  gate.release();
  expect((await first).status).toBe(202);
  expect((await tenant).status).toBe(202);
  expect((await service.post(manifest, headers)).headers.get("idempotent-replayed")).toBe("true");
});

test("of many at once under one key, one is accepted and the others are told the same job or to wait", async () => {
  await using origin = await startOrigin();
  await using service = await startService();
  const manifest = manifestOf(origin);
  const answers = await Promise.all(Array.from({ length: 50 }, () => service.post(manifest, { [KEY]: "k1" })));
  const statuses = answers.map(({ status }) => status);
  expect(statuses.filter((status) => status !== 202 && status !== 409)).toEqual([]);
  const accepted = answers.filter(({ status }) => status === 202);
  expect(accepted.filter(({ headers }) => headers.get("idempotent-replayed") === null).length).toBe(1);
  expect(new Set(await Promise.all(accepted.map((answer) => answer.text()))).size).toBe(1);
  expect(await jobsOf(service)).toBe(1);
});

test("a job whose answer was lost between its commit and the client is the job of the retry", async () => {
  await using origin = await startOrigin();
  await using service = await prepareService();
  const manifest = manifestOf(origin);
  const plain = service.env;
  Object.assign(service, { env: { ...plain, FETCHBOX_FAILPOINT: "queue.after-commit/jobAccepted" } });
  await service.start();
  const lost = await service.post(manifest, { [KEY]: "k1" }).catch(() => undefined);
  expect([lost, await service.ended()]).toEqual([undefined, "SIGKILL"]);

  Object.assign(service, { env: plain });
  await service.start();
  const retry = await service.post(manifest, { [KEY]: "k1" });
  expect([retry.status, retry.headers.get("idempotent-replayed")]).toEqual([202, "true"]);
  const { job_id: job } = (await retry.json()) as { job_id: string };
  expect((await service.finished(job)).status).toBe("completed");
  expect(await jobsOf(service)).toBe(1);
  expect(origin.hits("/a")).toBe(1);
});

test("a job that was not committed when the process died is not there, and the retry makes it", async () => {
  await using origin = await startOrigin();
  await using service = await prepareService();
  const manifest = manifestOf(origin);
  const plain = service.env;
  Object.assign(service, { env: { ...plain, FETCHBOX_FAILPOINT: "queue.before-commit/jobAccepted" } });
  await service.start();
  expect(await service.post(manifest, { [KEY]: "k1" }).catch(() => undefined)).toBeUndefined();
  expect(await service.ended()).toBe("SIGKILL");

  Object.assign(service, { env: plain });
  await service.start();
  expect(await jobsOf(service)).toBe(0);
  const retry = await service.post(manifest, { [KEY]: "k1" });
  expect([retry.status, retry.headers.get("idempotent-replayed")]).toEqual([202, null]);
  expect(await jobsOf(service)).toBe(1);
});

test("a key that breaks its rule is refused", async () => {
  await using service = await startService();
  for (const key of ["", "with space", "é", "k".repeat(256)]) {
    const response = await service.post("{}", { [KEY]: key });
    expect(response.status).toBe(400);
    expect((await errorOf(response)).details[0]?.path).toBe("/headers/X-Fetchbox-Idempotency-Key");
  }
  const both = await service.post("{}", { [KEY]: "a", "idempotency-key": "b" });
  expect((await errorOf(both)).details[0]?.path).toBe("/headers/Idempotency-Key");
});

test("operators find a job by its key, of one tenant or of all, also after a restart", async () => {
  await using origin = await startOrigin();
  await using service = await startService();
  const manifest = manifestOf(origin);
  const submit = (key: string, tenant: string) => service.submit(manifest, { [KEY]: key, "x-fetchbox-tenant": tenant });
  const mine = await submit("order/4711?&", "mine");
  const theirs = await submit("order/4711?&", "theirs");
  await submit("order/4712", "mine");
  await service.submit(manifest);
  await Promise.all([mine, theirs].map((job) => service.finished(job)));
  const found = async (query: string) => {
    const path = `/operators/jobs?idempotency_key=${encodeURIComponent("order/4711?&")}${query}`;
    return (await service.get<{ jobs: { job_id: string }[] }>(path)).jobs.map(({ job_id }) => job_id);
  };
  const expectFound = async () => {
    expect(await found("")).toEqual([theirs, mine]);
    expect(await found("&tenant=mine")).toEqual([mine]);
    expect(await found("&tenant=nobody")).toEqual([]);
    expect(await found("&tenant=mine&status=completed")).toEqual([mine]);
    expect(await found("&status=failed")).toEqual([]);
    expect(await found("&limit=1")).toEqual([theirs]);
  };
  await expectFound();
  await service.kill();
  await service.start();
  await expectFound();
  const wrong = await service.fetch("/operators/jobs?idempotency_key=");
  expect([wrong.status, (await errorOf(wrong)).details]).toEqual([
    400,
    [{ path: "/query/idempotency_key", message: "must be 1 to 255 visible ASCII characters" }],
  ]);
});
