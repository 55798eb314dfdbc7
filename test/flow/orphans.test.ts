import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Ended, runBinary } from "../support/binary.ts";
import { eventually } from "../support/eventually.ts";
import { type Fault, type FaultyS3, startFaultyS3 } from "../support/faulty-s3.ts";
import type { S3Call } from "../support/memory-s3.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { digest, pattern } from "../support/pattern.ts";
import { type Service, startService } from "../support/service.ts";

setDefaultTimeout(120_000);

const BUCKET = "fetchbox-artifacts";
const MIB = 2 ** 20;
const LOOK_MS = 30_000;
const isResource = ({ key }: S3Call) => key.endsWith("/late");
const isLook = (call: S3Call) => call.method === "HEAD" && isResource(call);

function startOn(s3: FaultyS3, settings: Readonly<Record<string, string | number>> = {}): Promise<Service> {
  return startService({
    settings: {
      "storage.backend": "s3",
      "storage.endpoint": s3.endpoint,
      "storage.bucket": BUCKET,
      "queue.workers": 4,
      "queue.max_retries": 0,
      ...settings,
    },
    env: { S3_ACCESS_KEY_ID: "key", S3_SECRET_ACCESS_KEY: "secret" },
  });
}

/** An S3 that takes the small PUTs of a resource and stores them when it is told to; it never answers them. */
function slow(s3: FaultyS3) {
  const late = Promise.withResolvers<void>();
  let puts = 0;
  s3.faultFor = (call) => {
    if (call.method !== "PUT" || !isResource(call)) return undefined;
    puts++;
    return { kind: "hang", done: late.promise };
  };
  return {
    begun: (count: number) => eventually(`${count} PUTs have begun`, () => puts >= count || undefined),
    async store() {
      late.resolve();
      await late.promise;
    },
    /** What comes from now on is stored and answered as usual. */
    recover() {
      s3.faultFor = () => undefined;
    },
  };
}

const looks = (s3: FaultyS3) => s3.calls.filter(isLook).length;
const manifest = (origin: Origin, body = "small", prefix = "") => ({
  manifest_version: "v1",
  ...(prefix !== "" && { storage: { resource_key_prefix: prefix } }),
  resources: [{ id: "late", url: origin.serve("/late", body) }],
});
const objectOf = (s3: FaultyS3) => [...s3.objects].find(([key]) => key.endsWith("/late"))?.[1].body;

async function removed(s3: FaultyS3): Promise<void> {
  expect(digest(objectOf(s3))).toBe(digest(Buffer.from("small")));
  await eventually("the object is removed", () => objectOf(s3) === undefined || undefined, LOOK_MS);
}

async function verify(service: Service): Promise<Ended> {
  return runBinary(["verify"], { cwd: service.folder, env: service.env });
}

async function samples(service: Service, name: string): Promise<string[]> {
  const text = await (await service.fetch("/metrics")).text();
  return text.split("\n").filter((line) => line.startsWith(name));
}

/** A look is counted once it is noted in queue.db, a moment after the storage was asked. */
async function sampled(service: Service, sample: string): Promise<void> {
  await eventually(sample, async () => (await samples(service, sample)).length === 1 || undefined);
}

describe("a small object that S3 stores only after its task has ended is removed", () => {
  test("where the attempt's time was over, and the task is a dead letter", async () => {
    await using origin = await startOrigin();
    await using s3 = await startFaultyS3();
    await using service = await startOn(s3, { "queue.task_timeout_ms": 500 });
    const late = slow(s3);
    const job = await service.submit(manifest(origin));
    expect((await service.finished(job)).errors).toMatchObject([{ code: "DOWNLOAD_TIMEOUT" }]);
    await sampled(service, 'fetchbox_orphans{kind="late_object"} 1');
    await eventually("it was looked for in vain after 1, 2 and 4 s", () => looks(s3) >= 3 || undefined, LOOK_MS);
    await late.store();
    await removed(s3);
    await sampled(service, 'fetchbox_orphans_removed_total{kind="late_object"} 1');
    expect(service.log).toContain("removed an object that a request stored after its attempt had ended");
    expect((await verify(service)).stdout).toContain(": no inconsistencies\n");
  });

  test("where its job was cancelled", async () => {
    await using origin = await startOrigin();
    await using s3 = await startFaultyS3();
    await using service = await startOn(s3);
    const late = slow(s3);
    const job = await service.submit(manifest(origin));
    await late.begun(1);
    expect((await service.fetch(`/operators/jobs/${job}/cancel`, { method: "POST" })).status).toBe(202);
    expect((await service.finished(job)).status).toBe("cancelled");
    await eventually("it was looked for in vain", () => looks(s3) >= 1 || undefined, LOOK_MS);
    await late.store();
    await removed(s3);
  });

  test("by the next start, and the checker says so before", async () => {
    await using origin = await startOrigin();
    await using s3 = await startFaultyS3();
    await using service = await startOn(s3);
    const late = slow(s3);
    const job = await service.submit(manifest(origin));
    await late.begun(1);
    await service.fetch(`/operators/jobs/${job}/cancel`, { method: "POST" });
    expect((await service.finished(job)).status).toBe("cancelled");
    await service.kill();
    await late.store();
    const found = await verify(service);
    const text = "unfinished: 1 object that S3 may have stored after the end of its task; left for the next start";
    expect([found.code, found.stdout]).toEqual([0, expect.stringContaining(text)]);
    expect(digest(objectOf(s3))).toBe(digest(Buffer.from("small")));
    await service.start();
    await eventually("the object is removed", () => objectOf(s3) === undefined || undefined, LOOK_MS);
    expect((await verify(service)).stdout).not.toContain("S3 may have stored");
  });

  test.each(["SIGTERM", "SIGKILL"] as const)("over a restart after %s", async (signal) => {
    await using origin = await startOrigin();
    await using s3 = await startFaultyS3();
    await using service = await startOn(s3, { "server.shutdown_grace_ms": 100 });
    const late = slow(s3);
    const job = await service.submit(manifest(origin));
    await late.begun(1);
    service.signal(signal);
    await service.ended();
    await service.start();
    await late.begun(2); // the task is at work again
    await service.fetch(`/operators/jobs/${job}/cancel`, { method: "POST" });
    expect((await service.finished(job)).status).toBe("cancelled");
    await service.stop();
    await service.start();
    await eventually("it was looked for in vain", () => looks(s3) >= 1 || undefined, LOOK_MS);
    await late.store(); // of both attempts
    await removed(s3);
  });
});

describe("the object of another attempt", () => {
  test("at the same task stays, whatever the first one does", async () => {
    await using origin = await startOrigin();
    await using s3 = await startFaultyS3();
    await using service = await startOn(s3, { "queue.task_timeout_ms": 500, "queue.max_retries": 5 });
    const late = slow(s3);
    const job = await service.submit(manifest(origin));
    await late.begun(2);
    late.recover();
    expect((await service.finished(job)).status).toBe("completed");
    expect(await samples(service, "fetchbox_orphans{")).toContain('fetchbox_orphans{kind="late_object"} 0');
    await late.store();
    expect(digest(objectOf(s3))).toBe(digest(Buffer.from("small")));
    expect((await verify(service)).stdout).toContain(": no inconsistencies\n");
    expect(s3.calls.filter(({ method }) => method === "DELETE")).toEqual([]);
  });

  test("of another job under the same key stays, and is told from what comes late", async () => {
    await using origin = await startOrigin();
    await using s3 = await startFaultyS3();
    await using service = await startOn(s3, { "queue.task_timeout_ms": 500 });
    const late = slow(s3);
    const first = await service.submit(manifest(origin, "small", "shared/"));
    expect((await service.finished(first)).status).toBe("failed");
    late.recover();
    const second = await service.submit(manifest(origin, "other", "shared/"));
    expect((await service.finished(second)).status).toBe("completed");
    const before = looks(s3);
    await eventually("it was looked at twice", () => looks(s3) >= before + 2 || undefined, LOOK_MS);
    expect(digest(objectOf(s3))).toBe(digest(Buffer.from("other")));
    await late.store();
    await removed(s3);
    const found = await verify(service);
    expect([found.code, found.stdout]).toEqual([1, expect.stringContaining("shared/late is missing")]);
  });

  test("that is replaced by a late one of the same task is reported, without reading all", async () => {
    await using origin = await startOrigin();
    await using s3 = await startFaultyS3();
    await using service = await startOn(s3, { "queue.task_timeout_ms": 500, "queue.max_retries": 5 });
    const late = slow(s3);
    const job = await service.submit(manifest(origin));
    await late.begun(1);
    origin.serve("/late", "SMALL");
    late.recover();
    expect((await service.finished(job)).status).toBe("completed");
    expect((await verify(service)).code).toBe(0);
    await late.store();
    const found = await verify(service);
    expect(found.stdout).toMatch(/inconsistency: an object has its contents: task 1 of job .*\/late has SHA-256/);
  });
});

describe("uploads that cannot be aborted", () => {
  const away: Fault = { kind: "reset" };

  function startParts(origin: Origin, count: number) {
    const held = Array.from({ length: count }, (_, i) =>
      origin.hold(`/held/${i}`, pattern(20 * MIB, i + 1), { bytes: 18 * MIB, chunked: true }),
    );
    const resources = held.map(({ url }, i) => ({ id: `part${i}`, url }));
    return { held, resources };
  }

  test("while S3 is away are aborted once it is back, told once, counted, and known after a restart", async () => {
    await using origin = await startOrigin();
    await using s3 = await startFaultyS3();
    await using service = await startOn(s3);
    const { held, resources } = startParts(origin, 3);
    const job = await service.submit({ manifest_version: "v1", resources });
    await eventually("the uploads are open", () => s3.uploads.size === 3 || undefined);
    await Promise.all(held.map(({ reached }) => reached));
    s3.faultFor = () => away;
    await service.fetch(`/operators/jobs/${job}/cancel`, { method: "POST" });
    expect((await service.finished(job)).status).toBe("cancelled");
    for (const each of held) each.release();
    expect(s3.uploads.size).toBe(3);
    const failed = () => service.log.split("an upload is left open and cannot be aborted").length - 1;
    await eventually("it is told", () => failed() === 3 || undefined, LOOK_MS);
    await eventually(
      "it is tried again",
      async () => {
        const [sample = ""] = await samples(service, 'fetchbox_orphan_failures_total{kind="upload"}');
        return Number(sample.split(" ").at(-1)) >= 9 || undefined;
      },
      LOOK_MS,
    );
    expect(failed()).toBe(3);
    await service.kill();
    await service.start();
    expect(await samples(service, 'fetchbox_orphans{kind="upload"}')).toEqual(['fetchbox_orphans{kind="upload"} 3']);
    s3.faultFor = () => undefined;
    expect((await verify(service)).stdout).not.toContain("no upload is left open");
    await eventually("they are aborted", () => s3.uploads.size === 0 || undefined, LOOK_MS);
    await eventually(
      "nothing is left to do",
      async () => (await samples(service, 'fetchbox_orphans{kind="upload"} 0')).length === 1 || undefined,
    );
    expect(failed()).toBe(3);
    expect(service.log.split("an upload that was left open is aborted").length - 1).toBe(3);
  });
});

describe("the upload by which a manifest probes the server", () => {
  const isPart = ({ method, key, query }: S3Call) =>
    method === "PUT" && key.startsWith("manifests/") && query.has("partNumber");

  test.each(["SIGTERM", "SIGKILL"] as const)("is aborted by the next start after %s at the latest", async (signal) => {
    await using origin = await startOrigin();
    await using s3 = await startFaultyS3();
    s3.etagOf = () => '"opaque"'; // only the probe can prove a copy
    s3.faultFor = (call) => (isPart(call) ? { kind: "stall" } : undefined);
    await using service = await startOn(s3, { "server.shutdown_grace_ms": 100 });
    const probing = s3.arrival(isPart);
    const answer = service.post(manifest(origin)).catch(() => undefined);
    await probing;
    service.signal(signal);
    await service.ended();
    await answer;
    // A stop leaves it time to be aborted.
    if (signal === "SIGKILL") expect(s3.uploads.size).toBe(1);
    s3.faultFor = () => undefined;
    await service.start();
    await eventually("the upload is aborted", () => s3.uploads.size === 0 || undefined, LOOK_MS);
    const job = await service.submit(manifest(origin));
    expect((await service.finished(job)).status).toBe("completed");
    expect((await verify(service)).stdout).toContain(": no inconsistencies\n");
  });

  test("is gone once the server has answered, and its key is watched for a while", async () => {
    await using origin = await startOrigin();
    await using s3 = await startFaultyS3();
    s3.etagOf = () => '"opaque"';
    await using service = await startOn(s3);
    expect((await service.finished(await service.submit(manifest(origin)))).status).toBe("completed");
    expect(s3.uploads.size).toBe(0);
    expect(await samples(service, 'fetchbox_orphans{kind="late_upload"}')).toEqual([
      'fetchbox_orphans{kind="late_upload"} 1',
    ]);
  });
});

describe("the checker", () => {
  const open = (s3: FaultyS3, key: string) => fetch(`${s3.endpoint}/${BUCKET}/${key}?uploads=`, { method: "POST" });

  test("finds uploads that are open under keys of ours, whatever these are, and no other", async () => {
    await using origin = await startOrigin();
    await using s3 = await startFaultyS3();
    await using service = await startOn(s3);
    const job = await service.submit({
      manifest_version: "v1",
      storage: { resource_key_prefix: "2026/" },
      resources: [
        { id: "stored", url: origin.serve("/stored", "s") },
        { id: "failed", url: `${origin.url}/missing` },
      ],
    });
    await service.finished(job);
    for (const key of ["2026/stored", "2026/failed", "2026/others", "else/stored"]) await open(s3, key);
    const found = await verify(service);
    const named = [...found.stdout.matchAll(/inconsistency: no upload is left open: upload \S+ of (\S+) belongs/g)];
    expect(named.map(([, key]) => key)).toEqual([`${BUCKET}/2026/stored`, `${BUCKET}/2026/failed`]);
    await service.stop();
    const repaired = await runBinary(["verify", "--repair"], { cwd: service.folder, env: service.env });
    expect(repaired.code).toBe(0);
    expect([...s3.uploads.values()].map(({ key }) => key)).toEqual(["2026/others", "else/stored"]);
  });

  test("takes an upload without a record under the key of a claimed task for unfinished", async () => {
    await using origin = await startOrigin();
    await using s3 = await startFaultyS3();
    await using service = await startOn(s3);
    const late = slow(s3);
    const job = await service.submit(manifest(origin));
    await late.begun(1);
    await open(s3, `resources/default/${job}/late`);
    expect((await verify(service)).stdout).toContain(": no inconsistencies\n");
    await service.kill();
    const found = await verify(service);
    expect([found.code, found.stdout]).toEqual([0, expect.stringContaining("unfinished: 1 task that was claimed")]);
    late.recover();
    await service.start();
    expect((await service.finished(job)).status).toBe("completed");
    await eventually("the upload is aborted", () => s3.uploads.size === 0 || undefined, LOOK_MS);
  });

  test("checks the objects of a bucket whose open uploads cannot be listed", async () => {
    await using origin = await startOrigin();
    await using s3 = await startFaultyS3();
    await using service = await startOn(s3);
    const job = await service.submit(manifest(origin));
    await service.finished(job);
    const body = "<Error><Code>NotImplemented</Code></Error>";
    s3.faultFor = ({ method, query }) =>
      method === "GET" && query.has("uploads") ? { kind: "answer", status: 501, body } : undefined;
    const sound = await verify(service);
    expect([sound.code, sound.stdout]).toEqual([0, expect.stringMatching(/^note: the open uploads of bucket .* 501/m)]);
    const denied = "<Error><Code>AccessDenied</Code></Error>";
    s3.faultFor = ({ method, query }) =>
      method === "GET" && query.has("uploads") ? { kind: "answer", status: 403, body: denied } : undefined;
    const refused = await verify(service);
    const rule = "inconsistency: the storage can be read: bucket fetchbox-artifacts: S3 answered GET";
    expect([refused.code, refused.stdout]).toEqual([1, expect.stringContaining(rule)]);
    expect(refused.stdout).toContain("2 objects: 1 inconsistency");
    await fetch(`${s3.endpoint}/${BUCKET}/resources/default/${job}/late`, { method: "DELETE" });
    const found = await verify(service);
    expect([found.code, found.stdout]).toEqual([
      1,
      expect.stringContaining(`resources/default/${job}/late is missing`),
    ]);
  });

  test("goes on past a bucket that it cannot read", async () => {
    await using origin = await startOrigin();
    await using s3 = await startFaultyS3();
    await using service = await startOn(s3, { "storage.allowed_buckets": "another" });
    const job = await service.submit({
      manifest_version: "v1",
      resources: [{ id: "a", url: origin.serve("/a", "a") }],
    });
    await service.finished(job);
    await open(s3, `resources/default/${job}/a`);
    s3.faultFor = ({ path }) =>
      path.startsWith("/another")
        ? { kind: "answer", status: 403, body: "<Error><Code>AccessDenied</Code></Error>" }
        : undefined;
    const { code, stdout } = await verify(service);
    expect(code).toBe(1);
    expect(stdout.match(/^inconsistency: the storage can be read: bucket another: .*AccessDenied/gm)?.length).toBe(1);
    expect(stdout).toContain(
      `inconsistency: no upload is left open: upload upload-1 of ${BUCKET}/resources/default/${job}/a`,
    );
    expect(stdout).toContain("1 job, 1 task, 0 dead letters, 2 objects: 2 inconsistencies");
  });
});
