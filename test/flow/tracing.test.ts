import { expect, setDefaultTimeout, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { startOrigin } from "../support/origin.ts";
import { OtlpCollector } from "../support/otlp-collector.ts";
import { type Service, startService } from "../support/service.ts";

setDefaultTimeout(60_000);

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";

type Origin = Awaited<ReturnType<typeof startOrigin>>;

const manifest = (...urls: string[]) => ({
  manifest_version: "v1",
  resources: urls.map((url, at) => ({ id: `r${at}`, url })),
});

/** The `traceparent` that came with the last request of a path. */
function traceparentOf(origin: Origin, path: string): string {
  const headers = origin.headers(path);
  const at = headers.findIndex((name) => name.toLowerCase() === "traceparent");
  return headers[at + 1] ?? "";
}

async function settled(service: Service, jobId: string) {
  return [await service.finished(jobId), await service.logs(jobId)] as const;
}

test("a client's trace goes through the job, its requests and its log", async () => {
  await using origin = await startOrigin();
  await using service = await startService();
  for (const flags of ["01", "00"]) {
    const body = manifest(origin.serve(`/${flags}`, "abc"));
    const jobId = await service.submit(body, { traceparent: `00-${TRACE}-${SPAN}-${flags}` });
    const [, logs] = await settled(service, jobId);
    expect([...new Set(logs.map(({ trace_id }) => trace_id))]).toEqual([TRACE]);
    const sent = traceparentOf(origin, `/${flags}`);
    expect(sent).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-${flags}$`));
    expect(sent).not.toContain(SPAN);
  }
  await eventually("the line of the log", () => service.log.includes(TRACE) || undefined);
});

test("a malformed traceparent is replaced by a trace of ours", async () => {
  await using origin = await startOrigin();
  await using service = await startService();
  const body = manifest(origin.serve("/a", "abc"));
  const jobId = await service.submit(body, { traceparent: `00-${"0".repeat(32)}-${SPAN}-01` });
  const [, [row]] = await settled(service, jobId);
  expect(row?.trace_id).toMatch(/^(?!0{32})[0-9a-f]{32}$/);
  expect(traceparentOf(origin, "/a")).toMatch(new RegExp(`^00-${row?.trace_id}-[0-9a-f]{16}-00$`));
});

test("a resource's own traceparent is sent as it is", async () => {
  await using origin = await startOrigin();
  await using service = await startService();
  const own = `00-${TRACE}-${SPAN}-00`;
  const resources = [{ id: "a", url: origin.serve("/a", "abc"), headers: { Traceparent: own } }];
  await service.finished(await service.submit({ manifest_version: "v1", resources }));
  expect(traceparentOf(origin, "/a")).toBe(own);
});

test("spans go to a collector: the submission, and each attempt below it", async () => {
  await using collector = new OtlpCollector();
  await using origin = await startOrigin();
  await using service = await startService({
    settings: { "tracing.otlp_endpoint": collector.url, "queue.max_retries": 0 },
    toml: `[tracing.headers]\nAuthorization = "Bearer \${OTLP_TOKEN}"\n`,
    env: { OTLP_TOKEN: "canary-otlp-token" },
  });
  const broken = origin.answer("/broken", (_request, response) => void response.writeHead(500).end());
  const body = manifest(`${origin.serve("/a", "abc")}?key=canary-query`, broken);
  const jobId = await service.submit(body, { traceparent: `00-${TRACE}-${SPAN}-01` });
  await service.finished(jobId);
  await service.stop();
  const spans = await collector.received("all spans", 3);
  const submission = spans.find(({ name }) => name === "POST /jobs");
  expect(submission).toMatchObject({ traceId: TRACE, parent: SPAN, kind: 2, service: "fetchbox", failure: undefined });
  expect(submission?.attributes).toMatchObject({
    "http.response.status_code": 202,
    "fetchbox.job_id": jobId,
    "fetchbox.resource_count": 2,
  });
  const attempts = spans.filter(({ name }) => name === "GET");
  expect(attempts.map(({ traceId, parent, kind }) => [traceId, parent, kind])).toEqual([
    [TRACE, submission?.spanId, 3],
    [TRACE, submission?.spanId, 3],
  ]);
  const stored = attempts.find(({ attributes }) => attributes["fetchbox.resource_id"] === "r0");
  expect(stored?.attributes).toMatchObject({ "http.response.status_code": 200, "http.response.body.size": 3 });
  expect(traceparentOf(origin, "/broken")).toBe(
    `00-${TRACE}-${attempts.find(({ failure }) => failure === "DOWNLOAD_HTTP_500")?.spanId}-01`,
  );
  expect(collector.requests[0]?.path).toBe("/v1/traces");
  expect(collector.requests[0]?.headers.get("authorization")).toBe("Bearer canary-otlp-token");
  expect(collector.text).not.toContain("canary-query");
  expect(service.log).not.toContain("canary-otlp-token");
});

test("what a client does not want to be taken, and what the ratio leaves out, is not sent", async () => {
  await using collector = new OtlpCollector();
  await using origin = await startOrigin();
  await using service = await startService({
    settings: { "tracing.otlp_endpoint": collector.url, "tracing.sample_ratio": 0 },
  });
  const body = manifest(origin.serve("/a", "abc"));
  await service.finished(await service.submit(body));
  await service.finished(await service.submit(body, { traceparent: `00-${TRACE}-${SPAN}-00` }));
  await service.finished(await service.submit(body, { traceparent: `00-${TRACE}-${SPAN}-01` }));
  await service.stop();
  expect(collector.spans.map(({ name }) => name).sort()).toEqual(["GET", "POST /jobs"]);
});

test("a collector that is away costs a line in the log, and nothing else", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { "tracing.otlp_endpoint": "http://127.0.0.1:1" } });
  for (let job = 0; job < 3; job++) {
    const jobId = await service.submit(manifest(origin.serve("/a", "abc")));
    expect((await service.finished(jobId)).status).toBe("completed");
  }
  await service.stop();
  await eventually("it is told", () =>
    Promise.resolve(service.log.includes("spans could not be sent") ? true : undefined),
  );
});
