import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { type ErrorBody, type JobSnapshot, type ResourceRow, textsOf } from "../support/answers.ts";
import { runBinary } from "../support/binary.ts";
import { eventually } from "../support/eventually.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { freePort } from "../support/peers.ts";
import { RoutedClients, type Submission } from "../support/routed-clients.ts";
import { findRouters, ROUTERS, type Routers } from "../support/routers.ts";
import { prepareService, type Service } from "../support/service.ts";

/** Three real instances behind the shipped configurations, under load, while one is killed and all are restarted. */

setDefaultTimeout(120_000);

const found = findRouters();
if ("reason" in found) console.warn(`the tests of several instances are left out: ${found.reason}`);
const isHere = !("reason" in found);
const routers = found as Routers;

const CLIENTS_WITH_KEYS = 4;
const CLIENTS_WITHOUT = 3;
const RESOURCES_EACH = 4;
const KILLED = 1;

async function startInstances(stack: AsyncDisposableStack): Promise<Service[]> {
  const instances: Service[] = [];
  for (const number of [0, 1, 2]) {
    const port = await freePort();
    const settings = { "server.instance": number, "server.bind_addr": `127.0.0.1:${port}` };
    instances.push(stack.use(await prepareService({ settings })));
  }
  await Promise.all(instances.map((instance) => instance.start()));
  return instances;
}

/** The submissions of one client. */
function submissionsOf(origin: Origin, client: string, hasKeys: boolean): () => Submission {
  let made = 0;
  return () => {
    const name = `${client}-${made++}`;
    const resources = Array.from({ length: RESOURCES_EACH }, (_each, r) => ({
      id: `r${r}`,
      url: origin.serve(`/${name}/r${r}`, `${name} ${r}`),
    }));
    const manifest = JSON.stringify({ manifest_version: "v1", resources });
    return { name, manifest, key: hasKeys ? name : undefined };
  };
}

const portsOf = (instances: readonly Service[]) => instances.map(({ url }) => Number(new URL(url).port));
const instanceOf = (jobId: string) => Number.parseInt(jobId.slice(-2), 16);

/** Clients submit while one instance is killed and started again, and then the others are restarted one by one. */
async function load(clients: RoutedClients, origin: Origin, instances: readonly Service[]): Promise<void> {
  const over = new AbortController();
  const work = Array.from({ length: CLIENTS_WITH_KEYS + CLIENTS_WITHOUT }, (_, client) =>
    clients.run(submissionsOf(origin, `c${client}`, client < CLIENTS_WITH_KEYS), over.signal),
  );
  const moreAccepted = async (count: number) => {
    const wanted = clients.accepted.size + count;
    await eventually(`${wanted} jobs are accepted`, () => clients.accepted.size >= wanted || undefined);
  };
  const incidents = async () => {
    await moreAccepted(30);
    for (const [number, instance] of instances.entries()) {
      const { refused } = clients;
      await (number === KILLED ? instance.kill() : instance.stop());
      await moreAccepted(20);
      await eventually("keys of the absent instance are refused", () => clients.refused > refused || undefined);
      await instance.start();
      await moreAccepted(20);
    }
    over.abort();
  };
  await Promise.all([incidents(), ...work]);
}

/** The jobs of all instances, by their ids. */
async function jobsOfAll(clients: RoutedClients): Promise<Map<string, JobSnapshot>> {
  const jobs = new Map<string, JobSnapshot>();
  for (const number of [0, 1, 2]) {
    const list = await clients.get<{ jobs: JobSnapshot[] }>(`/instances/${number}/operators/jobs?limit=1000`);
    for (const job of list.jobs) {
      expect([instanceOf(job.job_id), jobs.has(job.job_id)]).toEqual([number, false]);
      jobs.set(job.job_id, job);
    }
  }
  return jobs;
}

async function finished(clients: RoutedClients, jobId: string): Promise<JobSnapshot> {
  return eventually(`${jobId} has ended`, async () => {
    const job = await clients.get<JobSnapshot>(`/operators/jobs/${jobId}`);
    return job.completed_at === null ? undefined : job;
  });
}

async function expectWhole(clients: RoutedClients, origin: Origin, name: string, jobId: string): Promise<void> {
  const { status, resource_total: total, resource_completed: completed } = await finished(clients, jobId);
  expect({ name, status, total, completed }).toEqual({
    name,
    status: "completed",
    total: RESOURCES_EACH,
    completed: RESOURCES_EACH,
  });
  const { resources } = await clients.get<{ resources: ResourceRow[] }>(`/operators/jobs/${jobId}/resources`);
  const expected = Array.from({ length: RESOURCES_EACH }, (_, r) => [
    `r${r}`,
    `${origin.url}/${name}/r${r}`,
    "completed",
  ]);
  const sorted = resources.toSorted((a, b) => a.resource_id.localeCompare(b.resource_id));
  expect(sorted.map(({ resource_id, url, state }) => [resource_id, url, state])).toEqual(expected);
  for (let r = 0; r < RESOURCES_EACH; r++) {
    const hits = origin.hits(`/${name}/r${r}`);
    // Only the crash may have made the killed instance fetch a resource again.
    expect([name, r, hits === 1 || (instanceOf(jobId) === KILLED && hits === 2)]).toEqual([name, r, true]);
  }
}

describe.if(isHere).each([...ROUTERS])("%s", (router) => {
  test("a crash and restarts of three instances under load lose no job and double none", async () => {
    await using stack = new AsyncDisposableStack();
    const origin = stack.use(await startOrigin());
    const instances = await startInstances(stack);
    const { port } = stack.use(await routers.start(router, portsOf(instances)));
    const clients = new RoutedClients(`http://127.0.0.1:${port}`);
    await load(clients, origin, instances);

    expect(clients.accepted.size + clients.unknown.size).toBe(clients.ended.length);
    for (const [name, jobId] of clients.accepted) await expectWhole(clients, origin, name, jobId);
    for (const submission of clients.ended.filter(({ key }) => key !== undefined)) {
      const again = await clients.post(submission, "idempotency-key");
      const { job_id: jobId } = (await again.json()) as { job_id: string };
      expect([again.status, again.headers.get("idempotent-replayed"), jobId]).toEqual([
        202,
        "true",
        clients.accepted.get(submission.name) as string,
      ]);
    }
    const jobs = await jobsOfAll(clients);
    for (const jobId of clients.accepted.values()) expect(jobs.delete(jobId)).toBe(true);
    // Only submissions that the crash cut off may have further jobs, one each.
    const cutOff = new Set(clients.unknown);
    for (const jobId of jobs.keys()) {
      const { resources } = await clients.get<{ resources: ResourceRow[] }>(`/operators/jobs/${jobId}/resources`);
      const name = new URL(resources[0]?.url ?? "").pathname.split("/")[1] ?? "";
      expect([name, cutOff.delete(name)]).toEqual([name, true]);
      await expectWhole(clients, origin, name, jobId);
    }
    console.log(
      `${router}: ${clients.accepted.size} accepted, ${clients.unknown.size} cut off, ${clients.refused} refused`,
    );
  });

  test("clients get the answers of the service, and commands work on all instances and on one", async () => {
    await using stack = new AsyncDisposableStack();
    const origin = stack.use(await startOrigin());
    const instances = await startInstances(stack);
    const { port } = stack.use(await routers.start(router, portsOf(instances)));
    const url = `http://127.0.0.1:${port}`;
    const ask = async (method: string, path: string, headers: Record<string, string> = {}, body?: string) => {
      const type = body === undefined ? {} : { "content-type": "application/json" };
      const init = { method, headers: { ...headers, ...type }, body, proxy: false };
      const response = await fetch(url + path, init as RequestInit);
      return [response.status, ((await response.json()) as ErrorBody).code];
    };
    const absent = "019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f02";
    expect(await ask("GET", `/operators/jobs/${absent}`)).toEqual([404, "JOB_NOT_FOUND"]);
    expect(await ask("GET", "/operators/jobs/not-a-uuid")).toEqual([404, "JOB_NOT_FOUND"]);
    expect(await ask("GET", "/jobs")).toEqual([405, "METHOD_NOT_ALLOWED"]);
    expect(await ask("GET", "/nowhere")).toEqual([404, "NOT_FOUND"]);
    expect(await ask("POST", "/jobs", {}, "x".repeat(6 * 2 ** 20))).toEqual([413, "PAYLOAD_TOO_LARGE"]);
    const keys = { "x-fetchbox-idempotency-key": "a", "idempotency-key": "b" };
    expect(await ask("POST", "/jobs", keys, "{}")).toEqual([400, "INVALID_PAYLOAD"]);

    const held = origin.hold("/held", Buffer.from("held"));
    const manifest = { manifest_version: "v1", resources: [{ id: "a", url: held.url }] };
    const clients = new RoutedClients(`${url}/instances/2`);
    const submitted = await clients.post({ name: "held", manifest: JSON.stringify(manifest), key: undefined });
    const { job_id: jobId } = (await submitted.json()) as { job_id: string };
    expect(instanceOf(jobId)).toBe(2);
    const logs = await fetch(`${url}/operators/jobs/${jobId}/logs`, {
      headers: { accept: "text/event-stream" },
      proxy: false,
    } as RequestInit);
    const texts = textsOf(logs);
    // Its first event is here while the download is held.
    expect((await texts.next()).value).toStartWith("id: 0\n");
    held.release();
    let rest = "";
    for await (const text of texts) rest += text;
    expect(rest).toEndWith('event: end\ndata: {"status":"completed"}\n\n');

    const { folder: cwd } = instances[0] as Service;
    const run = (...args: string[]) => runBinary(args, { cwd });
    expect(await run("status", jobId, "--server", url)).toMatchObject({ code: 0, stderr: "" });
    expect((await run("jobs", "--server", `${url}/instances/2`)).stdout).toContain(jobId);
    expect((await run("jobs", "--server", `${url}/instances/0`)).stdout).not.toContain(jobId);
    expect(await run("jobs", "--server", url)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("put /instances/N before the path"),
    });
  });
});
