import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { DeadLetter } from "../support/answers.ts";
import { eventually } from "../support/eventually.ts";
import { type Fault, type FaultyS3, startFaultyS3 } from "../support/faulty-s3.ts";
import type { S3Call } from "../support/memory-s3.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { digest, pattern } from "../support/pattern.ts";
import { type Service, startService } from "../support/service.ts";

setDefaultTimeout(120_000);

const BUCKET = "fetchbox-artifacts";
const MIB = 2 ** 20;

function startOn(s3: FaultyS3, settings: Readonly<Record<string, string | number>> = {}): Promise<Service> {
  return startService({
    settings: {
      "storage.backend": "s3",
      "storage.endpoint": s3.endpoint,
      "storage.bucket": BUCKET,
      "queue.workers": 6,
      ...settings,
    },
    env: { S3_ACCESS_KEY_ID: "key", S3_SECRET_ACCESS_KEY: "secret" },
  });
}

/** Forty small bodies, a large one of known length, and one in parts. */
function mixed(origin: Origin): { resources: { id: string; url: string }[]; bodies: Map<string, Uint8Array> } {
  const bodies = new Map<string, Uint8Array>();
  const resources: { id: string; url: string }[] = [];
  const add = (id: string, url: string, body: Uint8Array) => {
    bodies.set(id, body);
    resources.push({ id, url });
  };
  const large = pattern(3 * MIB + 5, 2);
  const parts = pattern(17 * MIB + 5, 3);
  add("parts", chunked(origin, parts), parts);
  add("large", origin.serve("/large", large), large);
  for (let i = 0; i < 40; i++) add(`s${i}`, origin.serve(`/s/${i}`, pattern(500 + i, i + 1)), pattern(500 + i, i + 1));
  return { resources, bodies };
}

function chunked(origin: Origin, body: Uint8Array): string {
  return origin.answer("/parts", (_request, response) => {
    response.writeHead(200).write(body.subarray(0, 1000)); // so it has no length
    response.end(body.subarray(1000));
  });
}

async function deadLetters(service: Service): Promise<DeadLetter[]> {
  return service.pages<DeadLetter>("/operators/dlq?limit=100", "entries");
}

const isUpload = ({ method, key }: S3Call) => key.startsWith("resources/") && (method === "PUT" || method === "POST");
const isPart = ({ method, query }: S3Call) => method === "PUT" && query.has("partNumber");
const isComplete = ({ method, query }: S3Call) => method === "POST" && query.has("uploadId");
const refusal = (status: number, code: string): Fault => ({
  kind: "answer",
  status,
  body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>m</Message></Error>`,
});

describe("a storage that fails holds up its tasks, and none is lost or tried in vain", () => {
  test.each<[string, (call: S3Call) => boolean, Fault]>([
    ["that resets every connection", () => true, { kind: "reset" }],
    ["that resets every upload", isUpload, { kind: "reset" }],
    ["that asks to slow down", isUpload, refusal(503, "SlowDown")],
    ["that denies access", isUpload, refusal(403, "AccessDenied")],
    ["that has no such bucket", isUpload, refusal(404, "NoSuchBucket")],
    ["that is full", isUpload, refusal(507, "InsufficientStorage")],
    ["that fails at every part", isPart, refusal(500, "InternalError")],
    ["that says 200 to the completion, and an error", isComplete, refusal(200, "InternalError")],
    ["that hangs", isUpload, { kind: "hang" }],
  ])("one %s", async (_, matches, fault) => {
    await using origin = await startOrigin();
    await using s3 = await startFaultyS3();
    await using service = await startOn(s3);
    const { resources, bodies } = mixed(origin);
    const gate = Promise.withResolvers<void>();
    // The manifest is stored before the trouble begins.
    s3.faultFor = (call) => {
      if (!isUpload(call)) return undefined;
      s3.faultFor = (next) => (matches(next) ? fault : undefined);
      gate.resolve();
      return matches(call) ? fault : undefined;
    };
    const job = await service.submit({ manifest_version: "v1", resources });
    await gate.promise;
    await eventually(
      "readiness tells of the storage",
      async () => {
        const response = await service.fetch("/health/ready");
        const text = await response.text();
        return response.status === 503 && text.includes("storage") ? true : undefined;
      },
      60_000,
    );
    const health = await service.fetch("/operators/health");
    expect([health.status, ((await health.json()) as { components: { storage: unknown } }).components.storage]).toEqual(
      [503, { status: "unhealthy", reason: expect.stringMatching(/./) }],
    );
    expect(await deadLetters(service)).toEqual([]);
    const waiting = (await service.resources(job)).filter(({ state }) => state !== "completed");
    expect(waiting.length).toBeGreaterThan(0);
    expect(waiting.map(({ attempts }) => attempts)).toEqual(waiting.map(() => 0));

    s3.faultFor = () => undefined;
    expect((await service.finished(job, 90_000)).status).toBe("completed");
    for (const [id, body] of bodies) {
      expect([id, digest(s3.objects.get(`resources/default/${job}/${id}`)?.body)]).toEqual([id, digest(body)]);
    }
    expect([...s3.uploads.values()]).toEqual([]);
    expect(await deadLetters(service)).toEqual([]);
    expect((await service.fetch("/health/ready")).status).toBe(200);
  });

  test("one that is away for longer than it may be gives dead letters, with the reason", async () => {
    await using origin = await startOrigin();
    await using s3 = await startFaultyS3();
    await using service = await startOn(s3, { "storage.max_unavailable_ms": 1500 });
    s3.faultFor = (call) => (isUpload(call) ? refusal(403, "AccessDenied") : undefined);
    const job = await service.submit({
      manifest_version: "v1",
      resources: [{ id: "a", url: origin.serve("/a", "a") }],
    });
    expect((await service.finished(job, 60_000)).errors).toMatchObject([{ code: "UPLOAD_ACCESS_DENIED", attempts: 0 }]);
  });
});

test.each<[string, Fault]>([
  ["a limit of a proxy before it", { kind: "answer", status: 413, body: "<html>too large</html>" }],
  ["a rule of the bucket", refusal(400, "InvalidArgument")],
  ["a prefix without the right", refusal(403, "AccessDenied")],
])("objects that the storage refuses (%s) end as dead letters and hold no other up", async (_, fault) => {
  await using origin = await startOrigin();
  await using s3 = await startFaultyS3();
  await using service = await startOn(s3, { "queue.max_retries": 1, "queue.retry_backoff_ms": 1 });
  const submit = (ids: readonly string[]) =>
    service.submit({
      manifest_version: "v1",
      resources: ids.map((id) => ({ id, url: origin.serve(`/${id}`, id) })),
    });
  const numbered = (name: string, count: number) => Array.from({ length: count }, (_each, i) => `${name}/${i}`);
  expect((await service.finished(await submit(numbered("before", 1)))).status).toBe("completed");
  s3.faultFor = (call) => (isUpload(call) && call.key.includes("/refused/") ? fault : undefined);
  const refused = await submit(numbered("refused", 10));
  const good = await submit(numbered("good", 100));
  expect((await service.finished(good)).status).toBe("completed");
  const { status, errors } = await service.finished(refused);
  expect(status).toBe("failed");
  expect(errors.map(({ code, attempts }) => [code, attempts])).toEqual(errors.map(() => ["UPLOAD_REJECTED", 2]));
  expect((await service.fetch("/health/ready")).status).toBe(200);
});

test("an object whose success comes before S3 has it ends as a dead letter, and holds no other up", async () => {
  await using origin = await startOrigin();
  await using s3 = await startFaultyS3();
  await using service = await startOn(s3, { "queue.max_retries": 1, "queue.retry_backoff_ms": 1 });
  const { resources } = mixed(origin);
  s3.faultFor = (call) =>
    isPart(call) && call.key.endsWith("/parts") && Number(call.headers.get("content-length")) > MIB
      ? { kind: "answer", status: 200, early: true, headers: { etag: '"x"' } }
      : undefined;
  const [early = { id: "", url: "" }, ...others] = resources;
  const submit = (list: typeof resources) => service.submit({ manifest_version: "v1", resources: list });
  expect((await service.finished(await submit(others))).status).toBe("completed");
  const job = await submit([early]);
  const { errors } = await service.finished(job);
  const message: unknown = expect.stringContaining("before it had the body");
  expect(errors).toMatchObject([{ resource_id: "parts", code: "UPLOAD_REJECTED", attempts: 2, message }]);
  expect(s3.objects.has(`resources/default/${job}/parts`)).toBe(false);
  expect((await service.fetch("/health/ready")).status).toBe(200);
  await eventually("no upload is open", () => s3.uploads.size === 0 || undefined);
});

test("objects of a prefix without the right hold no other up after a restart", async () => {
  await using origin = await startOrigin();
  await using s3 = await startFaultyS3();
  await using service = await startOn(s3, {
    "queue.max_retries": 8,
    "queue.retry_backoff_ms": 2000,
    "queue.retry_backoff_max_ms": 2000,
  });
  const submit = (...ids: string[]) =>
    service.submit({
      manifest_version: "v1",
      resources: ids.map((id) => ({ id, url: origin.serve(`/${id}`, id) })),
    });
  s3.faultFor = (call) => (isUpload(call) && call.key.includes("/refused/") ? refusal(403, "AccessDenied") : undefined);
  const refused = await submit(...Array.from({ length: 10 }, (_, i) => `refused/${i}`));
  await eventually("they are tried again", async () => {
    const rows = await service.resources(refused);
    return rows.every(({ state }) => state === "retrying") ? true : undefined;
  });
  await service.kill();
  await service.start();
  const refusedAgain = () => s3.calls.filter(({ key }) => key.includes("/refused/")).length;
  const before = refusedAgain();
  await eventually("the new process has met one of them", () => refusedAgain() > before || undefined);
  expect((await service.finished(await submit("good"), 20_000)).status).toBe("completed");
  await eventually(
    "the bucket is open",
    async () => (await service.fetch("/health/ready")).status === 200 || undefined,
  );
});

describe("a storage that fails once", () => {
  test.each<[string, (call: S3Call) => boolean, Fault]>([
    ["at a part", isPart, refusal(500, "InternalError")],
    ["at the completion", isComplete, refusal(500, "InternalError")],
    ["after the completion, whose answer is lost", isComplete, { kind: "reset", done: true }],
    ["after a part, whose answer is lost", isPart, { kind: "reset", done: true }],
  ])("%s is asked again, and the object is stored once", async (_, matches, fault) => {
    await using origin = await startOrigin();
    await using s3 = await startFaultyS3();
    await using service = await startOn(s3);
    let faults = 0;
    s3.faultFor = (call) => (matches(call) && faults++ === 0 ? fault : undefined);
    const body = pattern(17 * MIB + 5, 3);
    const job = await service.submit({
      manifest_version: "v1",
      resources: [{ id: "a", url: chunked(origin, body) }],
    });
    expect(await service.finished(job)).toMatchObject({ status: "completed", resource_completed: 1 });
    expect(faults).toBeGreaterThan(0);
    expect(digest(s3.objects.get(`resources/default/${job}/a`)?.body)).toBe(digest(body));
    expect([...s3.uploads.values()]).toEqual([]);
    expect((await service.resources(job))[0]?.attempts).toBe(1);
  });
});

test("uploads that a crash left open are aborted at start by their recorded ids, and nobody else's", async () => {
  await using origin = await startOrigin();
  await using s3 = await startFaultyS3();
  await using service = await startOn(s3);
  const held = origin.hold("/held", pattern(20 * MIB, 3), { bytes: 18 * MIB, chunked: true });
  const job = await service.submit({ manifest_version: "v1", resources: [{ id: "a", url: held.url }] });
  await held.reached;
  await eventually("a part is on its way", () => s3.calls.some(isPart) || undefined);
  const others = await fetch(`${s3.endpoint}/${BUCKET}/somebody/elses?uploads=`, { method: "POST" });
  expect(others.status).toBe(200);
  await service.kill();
  expect(s3.uploads.size).toBe(2);
  held.release();
  await service.start();
  expect((await service.finished(job)).status).toBe("completed");
  expect([...s3.uploads.values()].map(({ key }) => key)).toEqual(["somebody/elses"]);
});
