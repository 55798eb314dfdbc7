import { expect, test } from "bun:test";
import { type DeadLetter, errorOf, type JobSnapshot } from "../support/answers.ts";
import { startOrigin } from "../support/origin.ts";
import { type Service, startService } from "../support/service.ts";
import { LOCAL } from "../support/storage.ts";

interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

const JOB_ID = "01a20bc9-cd17-7472-80bd-7b4a4af6c400";
const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"];
/** What is there from the first version on; the document has more as there is more. */
const PATHS = [
  "/jobs",
  "/operators/jobs",
  "/operators/jobs/{job_id}",
  "/operators/jobs/{job_id}/resources",
  "/operators/jobs/{job_id}/logs",
  "/operators/dlq",
  "/operators/dlq/{task_id}",
  "/operators/health",
  "/health/live",
  "/health/ready",
  "/metrics",
];

/** What is said of an id that is not there, by what it is an id of. */
const NOT_FOUND_CODES: Readonly<Record<string, string>> = {
  job_id: "JOB_NOT_FOUND",
  task_id: "DLQ_ENTRY_NOT_FOUND",
  operation_id: "NOT_FOUND",
};

async function documentOf(service: Service): Promise<Document> {
  return service.get("/swagger/json");
}

test("every endpoint answers a wrong method with 405 and what it takes, and says what is not found", async () => {
  await using service = await startService();
  const { openapi, paths } = await documentOf(service);
  expect(openapi).toStartWith("3.");
  expect(Object.keys(paths)).toEqual(expect.arrayContaining(PATHS));
  for (const [pattern, operations] of Object.entries(paths)) {
    const path = pattern.replace("{job_id}", JOB_ID).replace("{task_id}", "4711");
    const taken = METHODS.filter((method) => method.toLowerCase() in operations);
    for (const method of METHODS.filter((method) => !taken.includes(method))) {
      const response = await service.fetch(path, { method });
      const error = await errorOf(response);
      expect([method, path, response.status, error.code]).toEqual([method, path, 405, "METHOD_NOT_ALLOWED"]);
      expect(response.headers.get("allow")?.split(", ")).toEqual(expect.arrayContaining(taken));
    }
    if (!taken.includes("GET") || !pattern.includes("{")) continue;
    const code = NOT_FOUND_CODES[/\{(\w+)\}/.exec(pattern)?.[1] ?? ""] ?? "NOT_FOUND";
    for (const id of [JOB_ID, "4711", "%00", "..%2f", "x".repeat(2000)]) {
      const response = await service.fetch(pattern.replace(/\{.*\}/, id));
      expect([path, response.status, (await errorOf(response)).code]).toEqual([path, 404, code]);
    }
  }
  for (const path of ["/", "/job", "/jobs/", "/JOBS", "/operators", "/operators/jobs/", "/swagger/assets/x", "/.env"]) {
    for (const method of ["GET", "POST", "OPTIONS"]) {
      const response = await service.fetch(path, { method });
      expect([path, response.status, (await errorOf(response)).code]).toEqual([path, 404, "NOT_FOUND"]);
    }
  }
});

test("a query that breaks a rule is answered with 400 and its place", async () => {
  await using service = await startService();
  for (const [query, path] of [
    ["jobs?limit=0", "limit"],
    ["jobs?limit=1001", "limit"],
    ["jobs?limit=ten", "limit"],
    ["jobs?status=done", "status"],
    ["jobs?tenant=A%20B", "tenant"],
    ["jobs?cursor=nonsense", "cursor"],
    ["jobs?colour=red", "colour"],
    ["jobs?limit=1&limit=2", "limit"],
    ["dlq?since=yesterday", "since"],
    ["dlq?limit=-1", "limit"],
  ] as const) {
    const response = await service.fetch(`/operators/${query}`);
    const { code, details } = await errorOf(response);
    expect([query, response.status, code, details.map((detail) => detail.path)]).toEqual([
      query,
      400,
      "INVALID_PAYLOAD",
      [`/query/${path}`],
    ]);
  }
});

test("lists come in pages that miss nothing and repeat nothing, also while more comes", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { "queue.max_retries": 0 } });
  const good = origin.serve("/good", "good");
  const resources = Array.from({ length: 250 }, (_, index) => ({
    id: `r${index}`,
    url: index % 5 === 0 ? `${origin.url}/gone/${index}` : good,
  }));
  const jobId = await service.submit({ manifest_version: "v1", resources }, { "x-fetchbox-tenant": "first" });
  const others: string[] = [];
  for (let count = 0; count < 7; count++)
    others.push(await service.submit({ manifest_version: "v1", resources: [{ id: "a", url: good }] }));
  await service.finished(jobId);
  for (const other of others) await service.finished(other);

  const ids = resources.map(({ id }) => id);
  for (const limit of [1000, 250, 100, 7]) {
    expect((await service.resources(jobId, limit)).map((row) => row.resource_id)).toEqual(ids);
  }
  for (const [state, count] of [
    ["completed", 200],
    ["failed", 50],
    ["pending", 0],
    ["cancelled", 0],
  ] as const) {
    const rows = await service.pages<object>(`/operators/jobs/${jobId}/resources?state=${state}&limit=30`, "resources");
    expect([state, rows.length]).toEqual([state, count]);
  }
  const logs = await service.logs(jobId);
  expect(logs.map(({ offset }) => offset)).toEqual(logs.map((_, index) => index));
  expect(await service.logs(jobId, 13)).toEqual(logs);
  // Acceptance and end, each completion, each failed attempt and each dead letter.
  expect(logs.length).toBe(2 + 200 + 50 + 50);
  const errors = await service.get<{ logs: { level: string }[] }>(
    `/operators/jobs/${jobId}/logs?level=error&limit=1000`,
  );
  expect(errors.logs.map(({ level }) => level)).toEqual(errors.logs.map(() => "error"));
  expect(errors.logs.length).toBe(50);
  const rest = await service.get<{ logs: unknown[]; next_offset: number }>(
    `/operators/jobs/${jobId}/logs?offset=${logs.length}`,
  );
  expect(rest).toMatchObject({ logs: [], next_offset: logs.length });

  const jobs = await service.pages<JobSnapshot>("/operators/jobs?limit=3", "jobs");
  expect(jobs.map(({ job_id }) => job_id)).toEqual([jobId, ...others].toReversed());
  const first = await service.pages<JobSnapshot>(
    "/operators/jobs?limit=3&tenant=first&status=partial&job_type=default",
    "jobs",
  );
  expect(first).toEqual([await service.job(jobId)]);
  expect(first[0]).toMatchObject({ errors_truncated: false, tenant: "first", resource_failed: 50 });

  const letters = await service.pages<DeadLetter>("/operators/dlq?limit=9", "entries");
  expect(letters.map(({ resource_id }) => resource_id).sort()).toEqual(
    ids.filter((_, index) => index % 5 === 0).sort(),
  );
  // A cursor belongs to its list.
  const { next_cursor } = await service.get<{ next_cursor: string }>("/operators/jobs?limit=1");
  expect((await service.fetch(`/operators/dlq?cursor=${encodeURIComponent(next_cursor)}`)).status).toBe(400);
});

test("a dead letter tells of every attempt, is found by each filter, and gives no secret away", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { "queue.max_retries": 2 } });
  origin.answer("/broken", (_request, response) => response.writeHead(500).end("broken"));
  const { host } = new URL(origin.url);
  const before = new Date().toISOString();
  const jobId = await service.submit(
    {
      manifest_version: "v1",
      resources: [
        {
          id: "broken",
          url: `http://user:pass-secret@${host}/broken?token=query`,
          headers: {
            Authorization: "Bearer header-secret",
            Cookie: "cookie-secret",
            "X-Api-Key": "key-secret",
            "X-Open": "open",
          },
        },
        { id: "gone", url: `${origin.url}/gone` },
      ],
    },
    { "x-fetchbox-tenant": "mine" },
  );
  await service.finished(jobId);
  expect(origin.headers("/broken")).toEqual(
    expect.arrayContaining(["Bearer header-secret", "cookie-secret", "key-secret", "open"]),
  );

  const find = async (query: string) =>
    (await service.pages<DeadLetter>(`/operators/dlq?${query}&limit=1000`, "entries")).map(
      ({ resource_id }) => resource_id,
    );
  for (const query of [`host=${host}`, `job_id=${jobId}`, "job_type=default", "tenant=mine", `since=${before}`]) {
    expect([query, (await find(query)).sort()]).toEqual([query, ["broken", "gone"]]);
  }
  expect(await find("code=DOWNLOAD_HTTP_404")).toEqual(["gone"]);
  for (const query of [
    "code=DOWNLOAD_TIMEOUT",
    "host=elsewhere.example",
    `job_id=${JOB_ID}`,
    "tenant=other",
    `until=${before}`,
  ]) {
    expect([query, await find(query)]).toEqual([query, []]);
  }
  const [entry] = await service.pages<DeadLetter>("/operators/dlq?code=DOWNLOAD_HTTP_500&limit=10", "entries");
  expect(entry).toMatchObject({ job_id: jobId, tenant: "mine", failure_code: "DOWNLOAD_HTTP_500", attempts: 3 });
  expect(entry?.url).toBe(`http://${host}/broken?token=query`);
  const detail = await service.get<DeadLetter & { history: object[] }>(`/operators/dlq/${entry?.task_id}`);
  expect(detail).toMatchObject({ ...entry });
  expect(detail.history.length).toBe(3);
  const answered = { http_status: 500, bytes: 6, body_start: Buffer.from("broken").toString("hex") };
  expect(detail.history[0]).toMatchObject({ code: "DOWNLOAD_HTTP_500", ...answered, proxy: null });

  const job = await service.job(jobId);
  const manifest = Buffer.from(await LOCAL.read(service, job.manifest_key)).toString();
  expect(JSON.parse(manifest)).toMatchObject({
    resources: [{ headers: { Authorization: "***", Cookie: "***", "X-Api-Key": "***", "X-Open": "open" } }, {}],
  });
  const served = [manifest, detail, job, await service.resources(jobId), await service.logs(jobId)].map((part) =>
    JSON.stringify(part),
  );
  for (const text of [...served, service.log]) expect(text).not.toContain("-secret");
});

test("health, readiness and life are told apart", async () => {
  await using service = await startService();
  const health = await service.get<Record<string, unknown>>("/operators/health");
  const healthy = { status: "healthy" };
  expect(health).toEqual({
    status: "healthy",
    components: Object.fromEntries(
      ["api", "queue", "ledger", "dlq", "broker", "workers", "storage"].map((name) => [name, healthy]),
    ),
    version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    uptime_seconds: expect.any(Number),
  });
  expect((await service.fetch("/health/live")).status).toBe(200);
  expect((await service.fetch("/health/ready")).status).toBe(200);
});

test("the metrics are of Prometheus' text format, count what was done, and have no label of a client's making", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { "queue.max_retries": 0 } });
  const good = origin.serve("/good", "good");
  const resources = [
    { id: "my-resource", url: good },
    { id: "b", url: good },
    { id: "gone", url: `${origin.url}/gone` },
  ];
  const jobId = await service.submit({ manifest_version: "v1", resources }, { "x-fetchbox-tenant": "my-tenant" });
  await service.finished(jobId);
  await service.fetch("/my-path");
  const response = await service.fetch("/metrics");
  expect(response.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
  const text = await response.text();
  const samples = parseMetrics(text);
  expect(Object.fromEntries(samples)).toMatchObject({
    'fetchbox_jobs_accepted_total{job_type="default"}': 1,
    'fetchbox_tasks_completed_total{job_type="default"}': 2,
    'fetchbox_tasks_failed_total{job_type="default",code="DOWNLOAD_HTTP_404"}': 1,
    'fetchbox_queue_depth{state="pending"}': 0,
    'fetchbox_queue_depth{state="running"}': 0,
    'fetchbox_queue_depth{state="retrying"}': 0,
    fetchbox_dlq_size: 1,
    fetchbox_worker_busy_count: 0,
    'fetchbox_component_up{component="storage"}': 1,
    fetchbox_download_bytes_total: 8,
    'fetchbox_http_requests_total{route="/jobs",method="POST",status="202"}': 1,
  });
  for (const made of ["my-", jobId, origin.url, "/good"]) expect(text).not.toContain(made);
});

/** Reads the text format strictly: each sample is announced by HELP and TYPE, and there only once. */
function parseMetrics(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  const announced = new Set<string>();
  expect(text).toEndWith("\n");
  for (const line of text.split("\n").filter((line) => line !== "")) {
    const comment = /^# (HELP|TYPE) ([a-z_]+) (.+)$/.exec(line);
    if (comment !== null) {
      if (comment[1] === "TYPE") announced.add(comment[2] ?? "");
      continue;
    }
    const sample = /^([a-z_]+)((?:\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)*\})?) (\S+)$/.exec(line);
    if (sample === null) throw new Error(`not a sample: ${line}`);
    const [, name = "", labels = "", value] = sample;
    expect([line, announced.has(name) || announced.has(name.replace(/_(bucket|sum|count)$/, ""))]).toEqual([
      line,
      true,
    ]);
    expect([line, samples.has(name + labels)]).toEqual([line, false]);
    expect([line, value === "+Inf" || Number.isFinite(Number(value))]).toEqual([line, true]);
    samples.set(name + labels, Number(value));
  }
  return samples;
}

test("Swagger UI comes whole from the service, without any outside address", async () => {
  await using service = await startService();
  const page = await service.fetch("/swagger");
  expect(page.headers.get("content-type")).toStartWith("text/html");
  expect(page.headers.get("content-security-policy")).toContain("default-src 'self'");
  const html = await page.text();
  expect(html).not.toMatch(/(?:https?:)?\/\/\w/);
  const assets = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path = ""]) => path);
  expect(assets.length).toBeGreaterThanOrEqual(3);
  for (const path of assets) {
    const asset = await service.fetch(new URL(path, `${service.url}/swagger`).pathname);
    expect([path, asset.status]).toEqual([path, 200]);
    const body = await asset.text();
    expect(body.length).toBeGreaterThan(100);
    if (path.endsWith(".css")) expect(body).not.toMatch(/url\(\s*["']?(?:https?:)?\/\//);
    if (path.endsWith("init.js")) expect(body).not.toMatch(/https?:/);
  }
  const { paths } = await documentOf(service);
  expect(Object.keys(paths["/jobs"] ?? {})).toEqual(["post"]);
});

test("a service without tokens, on a loopback address, answers to no other name", async () => {
  await using service = await startService();
  for (const host of ["evil.example", "evil.example:80", "127.0.0.1.evil.example"]) {
    const response = await service.fetch("/operators/jobs", { headers: { host } });
    expect([host, response.status, (await errorOf(response)).code]).toEqual([host, 403, "FORBIDDEN"]);
  }
});
