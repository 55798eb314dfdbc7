import { expect, test } from "bun:test";
import { connect } from "node:net";
import { gzipSync } from "node:zlib";
import { Value } from "@sinclair/typebox/value";
import { COMPONENTS } from "../../src/api/openapi/openapi-document.ts";
import { IntakeError, type IntakeErrorCode } from "../../src/intake/intake-error.ts";
import type { Submit } from "../../src/intake/submission.ts";
import { createPassingTracer } from "../../src/net/tracer.ts";
import { eventually } from "../support/eventually.ts";
import { startTestApi } from "./running-api.ts";

const BODY = JSON.stringify({ manifest_version: "v1", resources: [{ id: "a", url: "https://a.example/a" }] });
const JSON_TYPE = { "content-type": "application/json" };
const LIMIT = 64 * 1024;

function post(body: NonNullable<RequestInit["body"]>, headers: Record<string, string> = {}): RequestInit {
  return { method: "POST", headers: { ...JSON_TYPE, ...headers }, body };
}

const answered: Submit = () =>
  Promise.resolve({ body: { job_id: "j", status: "queued", manifest_key: "m", resource_count: 1 }, replayed: true });

test("a job can be read as soon as it is accepted", async () => {
  await using api = await startTestApi();
  const response = await api.fetch("/jobs", post(BODY));
  expect(response.status).toBe(202);
  const accepted: unknown = await response.json();
  const { job_id } = Value.Parse(COMPONENTS.Accepted, accepted);
  expect(accepted).toEqual({
    job_id,
    status: "queued",
    manifest_key: `s3://bucket/manifests/default/${job_id}/metadata.json`,
    resource_count: 1,
  });
  expect(response.headers.get("location")).toBe(`/operators/jobs/${job_id}`);
  expect(response.headers.has("idempotent-replayed")).toBe(false);
  expect((await api.get("Job", `/operators/jobs/${job_id}`)).status).toBe("queued");
});

test("the answer to an earlier submission is marked as replayed", async () => {
  await using api = await startTestApi({ submit: answered });
  const response = await api.fetch("/jobs", post(BODY));
  expect([response.status, response.headers.get("idempotent-replayed")]).toEqual([202, "true"]);
});

const STATUSES = {
  INVALID_PAYLOAD: 400,
  UNAUTHORIZED: 401,
  FORBIDDEN: 403,
  UNSUPPORTED_JOB_TYPE: 403,
  IDEMPOTENCY_IN_PROGRESS: 409,
  PAYLOAD_TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  IDEMPOTENCY_KEY_REUSED: 422,
  QUEUE_FULL: 429,
  RATE_LIMITED: 429,
  HANDLER_ERROR: 500,
  INTERNAL_ERROR: 500,
  STORAGE_UNAVAILABLE: 503,
  SHUTTING_DOWN: 503,
  DISK_FULL: 507,
} satisfies Record<IntakeErrorCode, number>;

test.each(Object.entries(STATUSES) as [IntakeErrorCode, number][])("%s is answered with %d", async (code, status) => {
  const details = [{ path: "/resources/0/url", message: "must be absolute" }];
  await using api = await startTestApi({ submit: () => Promise.reject(new IntakeError(code, "why", { details })) });
  const response = await api.fetch("/jobs", post(BODY));
  expect(response.status).toBe(status);
  expect(await response.json()).toEqual({
    code,
    message: "why",
    request_id: response.headers.get("x-request-id"),
    details,
  });
  if (status === 429 || status === 503) expect(response.headers.get("retry-after")).toMatch(/^[1-9]\d*$/);
});

test("an internal error reveals no detail to the client, and is logged once with its cause", async () => {
  const fault = new Error("SECRET", { cause: new Error("disk on fire") });
  await using api = await startTestApi({ submit: () => Promise.reject(fault) });
  const error = await api.error("/jobs", 500, post(BODY));
  expect(error.code).toBe("INTERNAL_ERROR");
  expect(JSON.stringify(error)).not.toContain("SECRET");
  expect(JSON.stringify(error)).not.toContain("stack");
  const logged = api.lines.filter(({ level }) => level === "error");
  expect(logged).toHaveLength(1);
  expect(logged[0]).toMatchObject({ request_id: error.request_id, code: "INTERNAL_ERROR" });
  expect(JSON.stringify(logged[0])).toContain("disk on fire");
});

test.each(["application/json", "APPLICATION/Json", "application/json; charset=utf-8", " application/json ;x=1"])(
  "a content type may be written as %p",
  async (type) => {
    await using api = await startTestApi();
    expect((await api.fetch("/jobs", post(BODY, { "content-type": type }))).status).toBe(202);
  },
);

test.each(["text/plain", "application/jsonx", "application/x-www-form-urlencoded", "application/json+x", ""])(
  "the content type %p is refused",
  async (type) => {
    await using api = await startTestApi();
    const { code } = await api.error("/jobs", 415, post(new Blob([BODY]), { "content-type": type }));
    expect(code).toBe("UNSUPPORTED_MEDIA_TYPE");
    expect(api.submissions).toHaveLength(0);
  },
);

test("a gzip body is handed on decompressed", async () => {
  await using api = await startTestApi();
  const response = await api.fetch("/jobs", post(gzipSync(BODY), { "content-encoding": "gzip" }));
  expect(response.status).toBe(202);
  expect(new TextDecoder().decode(api.submissions[0]?.body)).toBe(BODY);
});

test("a body is handed on byte for byte", async () => {
  const bytes = new Uint8Array([0xef, 0xbb, 0xbf, 0x7b, 0xff, 0x00, 0x7d]);
  const bodies: Uint8Array[] = [];
  await using api = await startTestApi({
    submit: (submission) => {
      bodies.push(submission.body);
      return answered(submission);
    },
  });
  await api.fetch("/jobs", post(bytes));
  await api.fetch("/jobs", post(new Blob([bytes]).stream()));
  expect(bodies.map((body) => [...body])).toEqual([[...bytes], [...bytes]]);
});

test.each(["deflate", "br", "gzip, gzip"])("the content encoding %p is refused", async (encoding) => {
  await using api = await startTestApi();
  await api.error("/jobs", 415, post(BODY, { "content-encoding": encoding }));
});

test("a body may be as long as the limit and no longer", async () => {
  await using api = await startTestApi({ submit: answered });
  const bodies = (size: number) => [
    post(new Uint8Array(size)),
    post(new Blob([new Uint8Array(size)]).stream()),
    post(gzipSync(new Uint8Array(size)), { "content-encoding": "gzip" }),
  ];
  for (const body of bodies(LIMIT)) expect((await api.fetch("/jobs", body)).status).toBe(202);
  for (const body of bodies(LIMIT + 1)) expect((await api.error("/jobs", 413, body)).code).toBe("PAYLOAD_TOO_LARGE");
});

test("a body that is announced as too large is refused before it is sent", async () => {
  await using api = await startTestApi();
  const answer = await exchange(api.port, [
    "POST /jobs HTTP/1.1",
    `Host: 127.0.0.1:${api.port}`,
    "Content-Type: application/json",
    "Content-Length: 1000000000000",
    "",
    "{",
  ]);
  expect(answer).toStartWith("HTTP/1.1 413 ");
  expect(answer.toLowerCase()).toContain("connection: close");
  expect(answer).toContain('"code":"PAYLOAD_TOO_LARGE"');
});

test("an endless body is refused once the limit is reached", async () => {
  await using api = await startTestApi();
  let sent = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(new Uint8Array(16 * 1024));
      sent += 16 * 1024;
      if (sent > 2 ** 30) controller.close();
    },
  });
  await api.error("/jobs", 413, post(endless));
  expect(sent).toBeLessThan(2 ** 30);
});

test.each([
  ["X-Fetchbox-Job-Type", "Gallery"],
  ["X-Fetchbox-Job-Type", "a".repeat(65)],
  ["X-Fetchbox-Tenant", "a/b"],
  ["X-Fetchbox-Tenant", ""],
  ["X-Fetchbox-Idempotency-Key", "a b"],
  ["Idempotency-Key", "k".repeat(256)],
])("the header %s: %p is refused with its path", async (name, value) => {
  await using api = await startTestApi();
  const { code, details } = await api.error("/jobs", 400, post(BODY, { [name]: value }));
  expect(code).toBe("INVALID_PAYLOAD");
  expect(details.map(({ path }) => path)).toEqual([`/headers/${name}`]);
  expect(api.submissions).toHaveLength(0);
});

test("job type, tenant and key arrive, and have defaults", async () => {
  await using api = await startTestApi();
  await api.fetch("/jobs", post(BODY));
  await api.fetch(
    "/jobs",
    post(BODY, {
      "x-fetchbox-job-type": "a-1_.z",
      "x-fetchbox-tenant": "t",
      "x-fetchbox-idempotency-key": "k",
      "idempotency-key": "k",
    }),
  );
  await api.fetch("/jobs", post(BODY, { "idempotency-key": "~!" }));
  expect(api.submissions.map(({ jobType, tenant, idempotencyKey }) => [jobType, tenant, idempotencyKey])).toEqual([
    ["default", "default", undefined],
    ["a-1_.z", "t", "k"],
    ["default", "default", "~!"],
  ]);
});

test("two different idempotency keys are refused", async () => {
  await using api = await startTestApi();
  const headers = { "x-fetchbox-idempotency-key": "a", "idempotency-key": "b" };
  const { details } = await api.error("/jobs", 400, post(BODY, headers));
  expect(details[0]?.path).toBe("/headers/Idempotency-Key");
});

test("a trace continues; a malformed one is replaced", async () => {
  await using api = await startTestApi();
  const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  await api.fetch("/jobs", post(BODY, { traceparent: `00-${trace}-00f067aa0ba902b7-01` }));
  await api.fetch("/jobs", post(BODY, { traceparent: "00-nonsense" }));
  expect(api.submissions[0]?.trace).toMatchObject({ traceId: trace, sampled: true });
  expect(api.submissions[0]?.trace.spanId).not.toBe("00f067aa0ba902b7");
  expect(api.submissions[1]?.trace.traceId).toMatch(/^[0-9a-f]{32}$/);
  expect(api.submissions[1]?.trace.sampled).toBe(false);
});

test("a client that goes away in the middle of its body is no fault of ours", async () => {
  const entered = Promise.withResolvers<void>();
  const tracer = createPassingTracer((bytes) => {
    entered.resolve();
    return crypto.getRandomValues(bytes);
  });
  await using api = await startTestApi({ tracer });
  const answered = api.answered();
  const socket = connect(api.port, "127.0.0.1");
  socket.write("POST /jobs HTTP/1.1\r\nHost: local\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{");
  await entered.promise;
  socket.destroy();
  expect(await answered).toMatchObject({ route: "/jobs", status: 400 });
  expect(api.lines.some(({ level }) => level === "error")).toBe(false);
});

/** Sends lines, and gives all that comes back until the server closes. */
async function exchange(port: number, lines: readonly string[]): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.write(lines.join("\r\n"));
  let answer = "";
  for await (const chunk of socket) answer += String(chunk);
  return answer;
}

test("a client that sends all of a body that is too large before it listens gets its answer", async () => {
  await using api = await startTestApi();
  const { hostname, port } = new URL(api.url);
  const bytes = LIMIT + 8 * 2 ** 20;
  const head = `POST /jobs HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/json\r\nContent-Length: ${bytes}\r\n\r\n`;
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    let text = "";
    socket.on("error", reject);
    socket.on("data", (data) => (text += data.toString()));
    socket.on("close", () => resolve(text));
    socket.pause();
    socket.write(head);
    socket.write(Buffer.alloc(bytes, 32), () => socket.resume());
  });
  expect(answer).toStartWith("HTTP/1.1 413 ");
});

test.each([
  ["plain", (body: string) => body, {}],
  ["compressed", (body: string) => gzipSync(body), { "content-encoding": "gzip" }],
  ["in chunks", (body: string) => new Blob([body]).stream(), {}],
] as const)(
  "bodies that are more than all may take are asked to come again, and find room later: %s",
  async (_, encode, headers) => {
    const begun: (() => void)[] = [];
    let isOpen = false;
    const submit: Submit = async (submission) => {
      if (!isOpen) await new Promise<void>((resolve) => begun.push(resolve));
      return answered(submission);
    };
    await using api = await startTestApi({ submit });
    // Two of them fit into 128 KiB, compressed or not.
    const body = JSON.stringify({ padding: "x".repeat(50_000) });
    const send = () => api.fetch("/jobs", post(encode(body), headers));
    const first = [send(), send()];
    await eventually("two submissions", () => begun.length === 2 || undefined);
    const refused = await send();
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "1"]);
    expect(await refused.json()).toMatchObject({ code: "RATE_LIMITED" });
    isOpen = true;
    for (const resolve of begun) resolve();
    expect((await Promise.all(first)).map(({ status }) => status)).toEqual([202, 202]);
    expect((await send()).status).toBe(202);
  },
);
