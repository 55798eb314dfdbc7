import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { gunzipSync } from "node:zlib";
import type { Accepted, DeadLetter, JobSnapshot, LogRow, ResourceRow } from "../support/answers.ts";
import { eventually } from "../support/eventually.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { type Service, startService } from "../support/service.ts";
import { ClientProcess, type DriverOptions, RUNTIMES } from "./client-process.ts";
import { startCuttingProxy } from "./cutting-proxy.ts";

setDefaultTimeout(60_000);

const TOKEN = "OPERATOR-SECRET-0123";
const SUBMITTER = "SUBMITTER-SECRET-0123";
const PENDING_MAX = 60;

let service: Service;
let origin: Origin;

beforeAll(async () => {
  origin = await startOrigin();
  service = await startService({
    env: { FETCHBOX__SERVER__AUTH__TOKENS: `operator:${TOKEN},submit:${SUBMITTER}` },
    token: TOKEN,
    settings: { "queue.max_pending_tasks": PENDING_MAX },
  });
});

afterAll(async () => {
  await service[Symbol.asyncDispose]();
  await origin[Symbol.asyncDispose]();
});

const manifestOf = (...urls: string[]) => ({
  manifest_version: "v1",
  resources: urls.map((url, at) => ({ id: `${at}`, url })),
});

for (const runtime of RUNTIMES) {
  if (runtime.absent !== undefined) console.warn(`the client tests of ${runtime.name} are left out: ${runtime.absent}`);
}

describe.each(RUNTIMES.filter(({ absent }) => absent === undefined))("the client: $name", (runtime) => {
  /** Each runtime has a tenant, which keeps its jobs apart. */
  const tenant = runtime.name.toLowerCase().replaceAll(" ", "-");
  const start = (options: Partial<DriverOptions> = {}) =>
    ClientProcess.start(runtime, { server: service.url, token: TOKEN, ...options });

  test("submits a manifest, waits for the job and lists its resources", async () => {
    await using client = await start();
    const manifest = {
      manifest_version: "v1",
      metadata: { title: "größer 写真 🗂" },
      resources: [
        { id: "写真/été.jpg", url: origin.serve(`/${tenant}/a`, "content") },
        { id: "gone", url: `${origin.url}/gone/${tenant}` },
      ],
    };
    const accepted = await client.call<Accepted>("submit", manifest, { tenant });
    expect(accepted).toMatchObject({ status: "queued", resource_count: 2 });
    const job = await client.call<JobSnapshot>("wait", accepted.job_id);
    expect([job.status, job.tenant]).toEqual(["partial", tenant]);
    expect(await client.call<JobSnapshot>("job", accepted.job_id)).toEqual(await service.job(accepted.job_id));
    const rows = await client.call<ResourceRow[]>("resources", accepted.job_id, { limit: 1 });
    expect(rows.map(({ resource_id, state }) => [resource_id, state])).toEqual([
      ["写真/été.jpg", "completed"],
      ["gone", "failed"],
    ]);
    const failed = await client.call<ResourceRow[]>("resources", accepted.job_id, { state: "failed" });
    expect(failed.map(({ error }) => error?.code)).toEqual(["DOWNLOAD_HTTP_404"]);
    expect(await client.call("health")).toMatchObject({ status: "healthy" });
  });

  test("splits a list of URLs into jobs, and a repeat submits none twice", async () => {
    await using client = await start();
    const own = `${tenant}-list`;
    const urls = Array.from({ length: 25 }, (_, at) => origin.serve(`/${own}/a%20ü.jpg?n=${at}`, "x"));
    const options = { tenant: own, batchSize: 10, template: { metadata: { list: "ü" } } };
    const jobs = await client.call<Accepted[]>("submitUrls", urls, options);
    expect(jobs.map(({ resource_count }) => resource_count)).toEqual([10, 10, 5]);
    for (const { job_id } of jobs) await client.call("wait", job_id);
    expect(await client.call<Accepted[]>("submitUrls", urls, options)).toEqual(jobs);
    const listed = await client.call<JobSnapshot[]>("jobs", { tenant: own, limit: 1 });
    expect(listed.map(({ job_id }) => job_id)).toEqual(jobs.map(({ job_id }) => job_id).reverse());
    const [row] = await client.call<ResourceRow[]>("resources", jobs[2]?.job_id);
    expect(row?.resource_id).toBe("0000021-a_20_C3_BC.jpg");
    // A list that has grown submits the new rest.
    const grown = await client.call<Accepted[]>("submitUrls", [...urls, `${origin.url}/new`], options);
    expect(grown.map(({ job_id }) => jobs.some((job) => job.job_id === job_id))).toEqual([true, true, false]);
    const bad = await client.failure("submitUrls", [...urls.slice(0, 11), "ftp://example.com/"], options);
    expect([bad.code, bad.details.map(({ path }) => path)]).toEqual(["INVALID_PAYLOAD", ["/urls/11/url"]]);
    expect(bad.message).toContain("/urls/11/url: ");
  });

  test("lists, counts, replays and discards dead letters", async () => {
    await using client = await start();
    const paths = [0, 1, 2, 3, 4].map((at) => `/${tenant}/later/${at}`);
    const { job_id } = await client.call<Accepted>("submit", manifestOf(...paths.map((path) => origin.url + path)));
    await client.call("wait", job_id);
    const letters = await client.call<DeadLetter[]>("deadLetters", { job_id, limit: 2 });
    expect(letters.map(({ resource_id }) => resource_id)).toEqual(["4", "3", "2", "1", "0"]);
    expect(await client.call<DeadLetter[]>("firstDeadLetters", 3, { job_id, limit: 2 })).toEqual(letters.slice(0, 3));
    const filter = { job_id, code: "DOWNLOAD_HTTP_404" };
    expect(await client.call("replay", { filter, dry_run: true })).toEqual({ matched: 5, replayed: 0 });
    for (const path of paths) origin.serve(path, "now");
    const last = { task_ids: [letters.at(-1)?.task_id] };
    expect(await client.call("discard", { ...last, dry_run: true })).toEqual({ matched: 1, given_up: 0 });
    expect(await client.call("discard", last)).toEqual({ matched: 1, given_up: 1 });
    const headers = { "X-Note": "again" };
    expect(await client.call("replay", { filter, overrides: { headers } })).toEqual({ matched: 4, replayed: 4 });
    expect(await client.call<JobSnapshot>("wait", job_id)).toMatchObject({ resource_completed: 4, resource_failed: 1 });
    expect(origin.headers(paths[4] ?? "")).toContain("X-Note");
    expect(await client.call<DeadLetter[]>("deadLetters", { job_id })).toEqual([]);
  });

  test("follows a log to its end, over a cut connection", async () => {
    await using proxy = await startCuttingProxy(service.url);
    // Bun's `fetch` sometimes misses the end of a connection that falls between two reads.
    await using client = await start({ server: proxy.url, silenceTimeoutMs: 2000 });
    const held = origin.hold(`/${tenant}/held-log`, new Uint8Array(10));
    const job = await client.call<Accepted>("submit", manifestOf(held.url, origin.serve(`/${tenant}/b`, "x")));
    await held.reached;
    proxy.cutAfter("id: 0\n");
    const following = client.call<LogRow[]>("follow", job.job_id);
    const resumed = await eventually("the client comes back", () =>
      proxy.requests.find((head) => /^last-event-id: /im.test(head)),
    );
    held.release();
    expect(await following).toEqual(await service.logs(job.job_id));
    expect(resumed).toMatch(/^last-event-id: \d+$/im);
    const warnings = await client.call<LogRow[]>("follow", job.job_id, { level: "error" });
    expect(warnings).toEqual([]);
    expect((await client.failure("follow", "019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00")).code).toBe("JOB_NOT_FOUND");
  });

  test("does not follow a broken log for ever", async () => {
    await using client = await start({ server: origin.url, retries: 2 });
    let requests = 0;
    const logs = "/operators/jobs/broken/logs";
    const stream = { "content-type": "text/event-stream" };
    origin.answer(logs, (_request, response) => response.writeHead(200, stream).end(`: ${requests++}\n\n`));
    expect(await client.failure("follow", "broken")).toMatchObject({ code: "NETWORK_ERROR", status: 0 });
    expect(requests).toBe(3);
    origin.answer(logs, (_request, response) => response.writeHead(502).end(`${requests++}`));
    expect(await client.failure("follow", "broken")).toMatchObject({ code: "UNEXPECTED_ANSWER", status: 502 });
    expect(requests).toBe(6);
    // An answer that is no event stream is no row, and no end either.
    origin.answer(logs, (_request, response) => response.end(`<html>${requests++}`));
    expect(await client.failure("follow", "broken")).toMatchObject({ code: "UNEXPECTED_ANSWER" });
    expect(requests).toBe(7);
  });

  test("ends a wait after its timeout, and cancels the job", async () => {
    await using client = await start();
    const held = origin.hold(`/${tenant}/held-wait`, new Uint8Array(10));
    const { job_id } = await client.call<Accepted>("submit", manifestOf(held.url));
    await held.reached;
    const late = await client.failure("wait", job_id, 250);
    expect([late.code, late.message]).toEqual(["TIMEOUT", `job ${job_id} did not end within 0.25 s; it continues`]);
    expect(await client.call<JobSnapshot>("cancel", job_id)).toMatchObject({ job_id });
    expect((await client.call<JobSnapshot>("wait", job_id, 20_000)).status).toBe("cancelled");
    expect(await client.failure("cancel", job_id)).toMatchObject({ code: "JOB_FINISHED", status: 409 });
    held.release();
  });

  test("repeats a submission with the same key after a lost answer, which makes one job", async () => {
    await using proxy = await startCuttingProxy(service.url);
    await using client = await start({ server: proxy.url });
    const own = `${tenant}-cut`;
    proxy.cutAnswer("POST /jobs ");
    const { job_id } = await client.call<Accepted>("submit", manifestOf(origin.serve("/one", "x")), { tenant: own });
    const keys = proxy.requests.map((head) => /^idempotency-key: (\S+)/im.exec(head)?.[1]);
    expect([keys.length >= 2, new Set(keys).size]).toEqual([true, 1]);
    await client.call("wait", job_id);
    expect((await client.call<JobSnapshot[]>("jobs", { tenant: own })).map((job) => job.job_id)).toEqual([job_id]);
    const given = await client.call<Accepted>("submit", manifestOf(origin.url), { tenant: own, key: "order-4711" });
    expect(await client.call("submit", manifestOf(origin.url), { tenant: own, key: "order-4711" })).toEqual(given);
    const other = await client.failure("submit", manifestOf(`${origin.url}/x`), { tenant: own, key: "order-4711" });
    expect([other.code, other.status]).toEqual(["IDEMPOTENCY_KEY_REUSED", 422]);
  });

  test("does not repeat a replay whose answer is lost", async () => {
    await using proxy = await startCuttingProxy(service.url);
    await using client = await start({ server: proxy.url });
    proxy.cutAnswer("POST /operators/dlq/replay ");
    const lost = await client.failure("replay", { task_ids: [1], dry_run: true });
    expect([lost.code, lost.status, proxy.requests.length]).toEqual(["NETWORK_ERROR", 0, 1]);
  });

  test("waits as long as a busy service asks, also behind a gateway", async () => {
    const answers: [number, Record<string, string>, string][] = [
      [429, { "retry-after": "1" }, '{"code":"QUEUE_FULL","message":"full","request_id":"r","details":[]}'],
      [503, { "retry-after": new Date(0).toUTCString() }, "<html>busy</html>"],
      [502, {}, "<html>bad gateway</html>"],
      [202, { "content-type": "application/json" }, '{"job_id":"j","resource_count":1}'],
    ];
    const times: number[] = [];
    origin.answer("/jobs", (_request, response) => {
      const [status, headers, body] = answers[times.push(performance.now()) - 1] ?? [500, {}, ""];
      response.writeHead(status, headers).end(body);
    });
    await using client = await start({ server: origin.url });
    expect(await client.call("submit", manifestOf(origin.url))).toMatchObject({ job_id: "j" });
    const [first = 0, second = 0] = times;
    expect([times.length, second - first > 990]).toEqual([4, true]);
  });

  test("ends its repeats after the limits of its options", async () => {
    await using client = await start({ busyTimeoutMs: 500 });
    const urls = Array.from({ length: PENDING_MAX + 1 }, () => `${origin.url}/never`);
    const full = await client.failure("submit", manifestOf(...urls));
    expect([full.code, full.status, (full.retryAfterMs ?? 0) >= 1000]).toEqual(["QUEUE_FULL", 429, true]);
    let impatient = 0;
    origin.answer("/operators/jobs/busy", (_request, response) => {
      response.writeHead(429, { "retry-after": "0" }).end(`${impatient++}`);
    });
    await using pressed = await start({ server: origin.url, busyTimeoutMs: 50 });
    expect((await pressed.failure("job", "busy")).status).toBe(429);
    expect(impatient).toBe(11);
    let requests = 0;
    const broken = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => new Response(`${requests++}`, { status: 504 }),
    });
    await using cut = await start({ server: broken.url.href, retries: 2 });
    expect(await cut.failure("job", "j")).toMatchObject({ code: "UNEXPECTED_ANSWER", status: 504 });
    expect(requests).toBe(3);
    await broken.stop(true);
    const away = await cut.failure("job", "j");
    expect([away.code, away.status]).toEqual(["NETWORK_ERROR", 0]);
    expect(away.message).toStartWith(`cannot reach ${broken.url.origin}: `);
    const silent = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Promise<Response>(() => {}) });
    await using hasty = await start({ server: silent.url.href, retries: 0, timeoutMs: 200 });
    expect((await hasty.failure("job", "j")).code).toBe("TIMEOUT");
    await silent.stop(true);
  });

  test("compresses a large body", async () => {
    const bodies: { encoding: string | undefined; text: string }[] = [];
    origin.answer("/jobs", (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const encoding = request.headers["content-encoding"];
        const bytes = Buffer.concat(chunks);
        bodies.push({ encoding, text: (encoding === "gzip" ? gunzipSync(bytes) : bytes).toString() });
        response.writeHead(202, { "content-type": "application/json" }).end('{"job_id":"j"}');
      });
    });
    await using stub = await start({ server: origin.url });
    const large = { ...manifestOf(origin.url), metadata: { text: "größer ".repeat(5000) } };
    await stub.call("submit", large);
    await stub.call("submit", manifestOf(origin.url));
    expect(bodies.map(({ encoding, text }) => [encoding, JSON.parse(text)])).toEqual([
      ["gzip", large],
      [undefined, manifestOf(origin.url)],
    ]);
    await using client = await start();
    const { job_id } = await client.call<Accepted>("submit", large);
    await client.call("wait", job_id);
  });

  test("fails with one kind of error, which has all facts and no token", async () => {
    await using client = await start();
    const missing = await client.failure("job", "019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00");
    expect(missing).toMatchObject({ isOurs: true, code: "JOB_NOT_FOUND", status: 404, details: [] });
    expect(missing.requestId).toMatch(/^[0-9a-f-]{36}$/);
    const invalid = await client.failure("submit", {
      manifest_version: "v1",
      resources: [{ id: "a", url: "ftp://a/" }],
    });
    expect([invalid.code, invalid.details[0]?.path]).toEqual(["INVALID_PAYLOAD", "/resources/0/url"]);
    const odd = await client.failure("jobs", { status: "löst & found" });
    expect([odd.code, odd.details[0]?.path]).toEqual(["INVALID_PAYLOAD", "/query/status"]);
    await using submitter = await start({ token: SUBMITTER });
    const forbidden = await submitter.failure("deadLetters");
    expect([forbidden.code, forbidden.status]).toEqual(["FORBIDDEN", 403]);
    await using stranger = await start({ token: "STRANGER-SECRET-0123" });
    expect(await stranger.failure("jobs")).toMatchObject({ code: "UNAUTHORIZED", status: 401 });
    origin.answer("/operators/jobs/echo", (request, response) => response.end(request.rawHeaders.join()));
    origin.answer("/operators/jobs/deny", (request, response) =>
      response.writeHead(403).end(request.rawHeaders.join()),
    );
    origin.answer("/operators/jobs/redirect", (_request, response) =>
      response.writeHead(302, { location: `${service.url}/operators/jobs/j` }).end(),
    );
    origin.answer("/operators/jobs/json", (request, response) => {
      const said = `denied: ${request.headers.authorization}`;
      const details = [{ path: said, message: said }];
      response.writeHead(403).end(JSON.stringify({ code: "FORBIDDEN", message: said, request_id: "r", details }));
    });
    origin.answer("/operators/jobs/odd", (_request, response) => {
      response.writeHead(400).end('{"code":"ODD","message":"m","details":[7]}');
    });
    await using elsewhere = await start({ server: origin.url });
    const errors = [missing, invalid, odd, forbidden];
    const masked = await elsewhere.failure("job", "json");
    expect(masked.message).toBe("denied: Bearer ***; denied: Bearer ***: denied: Bearer ***");
    expect([masked.text.includes(TOKEN), masked.details[0]?.path]).toEqual([false, "denied: Bearer ***"]);
    expect((await elsewhere.failure("job", "odd")).code).toBe("UNEXPECTED_ANSWER");
    for (const id of ["echo", "deny", "redirect"]) errors.push(await elsewhere.failure("job", id));
    expect(errors.slice(4).map(({ isOurs, code }) => [isOurs, code])).toEqual(
      [1, 2, 3].map(() => [true, "UNEXPECTED_ANSWER"]),
    );
    for (const token of ["TWO\nLINE-SECRET", "größer-SECRET", ""]) {
      errors.push(await client.failure("construct", { server: service.url, token }));
    }
    for (const server of ["localhost:8080", "ftp://a", "http://user:SECRET@127.0.0.1/", "http://"]) {
      errors.push(await client.failure("construct", { server }));
    }
    errors.push(await client.failure("submit", manifestOf(origin.url), { key: "two\nlines" }));
    expect(errors.slice(7).map(({ isOurs, code }) => [isOurs, code])).toEqual(
      errors.slice(7).map(() => [true, "INVALID_ARGUMENT"]),
    );
    for (const { text } of errors) expect(text).not.toContain("SECRET");
  });

  test("returns the health of an unhealthy service", async () => {
    const report = {
      status: "unhealthy",
      components: { queue: { status: "unhealthy" } },
      version: "1",
      uptime_seconds: 1,
    };
    origin.answer("/operators/health", (_request, response) => {
      response.writeHead(503, { "content-type": "application/json", "retry-after": "60" }).end(JSON.stringify(report));
    });
    await using client = await start({ server: origin.url });
    expect(await client.call("health")).toEqual(report);
  });
});
