import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { type Fault, type FaultyS3, startFaultyS3 } from "../support/faulty-s3.ts";
import type { S3Call } from "../support/memory-s3.ts";
import { startOrigin } from "../support/origin.ts";
import { type Service, startService } from "../support/service.ts";

setDefaultTimeout(120_000);

const SECRET = "wJalrXUtnFEMIbPxRfiCY";

function startOn(s3: FaultyS3): Promise<Service> {
  return startService({
    settings: {
      "storage.backend": "s3",
      "storage.endpoint": s3.endpoint,
      "storage.bucket": "fetchbox-artifacts",
    },
    env: { S3_ACCESS_KEY_ID: "AKIDEXAMPLE", S3_SECRET_ACCESS_KEY: SECRET },
  });
}

const isBucket = ({ key }: S3Call) => key === "";
const refusal = (status: number, code: string, headers: Readonly<Record<string, string>> = {}): Fault => ({
  kind: "answer",
  status,
  headers,
  body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>m</Message></Error>`,
});

/** What readiness and the operators' page say of the storage. */
async function healthOf(service: Service) {
  const [ready, health] = await Promise.all([service.fetch("/health/ready"), service.fetch("/operators/health")]);
  const { status, components } = (await health.json()) as {
    status: string;
    components: { storage: { status: string; reason?: string } };
  };
  return { ready: ready.status, health: health.status, status, storage: components.storage };
}

test("credentials that may only upload are ready, degraded, and upload", async () => {
  await using origin = await startOrigin();
  await using s3 = await startFaultyS3();
  s3.faultFor = (call) => (isBucket(call) ? refusal(403, "AccessDenied") : undefined);
  await using service = await startOn(s3);
  const { storage, ...rest } = await healthOf(service);
  expect(rest).toEqual({ ready: 200, health: 200, status: "degraded" });
  expect(storage).toEqual({ status: "degraded", reason: expect.stringContaining("s3:ListBucket") });
  expect(service.log).toContain("the storage may not be ready");
  const resources = [{ id: "a", url: origin.serve("/a", "a") }];
  const job = await service.submit({ manifest_version: "v1", resources });
  expect((await service.finished(job)).status).toBe("completed");
  s3.faultFor = () => undefined;
  await eventually("the doubt goes", async () => (await healthOf(service)).status === "healthy" || undefined);
});

describe("a storage that cannot be used makes the service unready, and says why", () => {
  test.each<[string, Fault, readonly string[]]>([
    ["wrong keys", refusal(403, "InvalidAccessKeyId"), ["InvalidAccessKeyId", "check the access key id"]],
    ["a wrong signature", refusal(403, "SignatureDoesNotMatch"), ["SignatureDoesNotMatch", "secret access key"]],
    ["no bucket", refusal(404, "NoSuchBucket"), ["NoSuchBucket", "create the bucket"]],
    [
      "another region",
      refusal(301, "PermanentRedirect", { "x-amz-bucket-region": "eu-west-1" }),
      ["PermanentRedirect", 'storage.region = "eu-west-1"'],
    ],
    ["no answer", { kind: "reset" }, ["no answer"]],
  ])("%s", async (_, fault, words) => {
    await using s3 = await startFaultyS3();
    s3.faultFor = () => fault;
    await using service = await startOn(s3);
    const { storage, ...rest } = await healthOf(service);
    expect(rest).toEqual({ ready: 503, health: 503, status: "unhealthy" });
    expect(storage.status).toBe("unhealthy");
    for (const word of words) expect(storage.reason).toContain(word);
    expect(JSON.stringify(storage)).not.toContain(SECRET);
  });
});

test("a closed bucket opens when its check works again, though no task is there to try it", async () => {
  await using origin = await startOrigin();
  await using s3 = await startFaultyS3();
  await using service = await startOn(s3);
  const isUpload = ({ key, method }: S3Call) => key.startsWith("resources/") && method === "PUT";
  let isAway = false;
  s3.faultFor = (call) => {
    if (isUpload(call)) isAway = true;
    return isAway ? { kind: "reset" } : undefined;
  };
  const resources = [{ id: "a", url: origin.serve("/a", "a") }];
  const job = await service.submit({ manifest_version: "v1", resources });
  // Three tries of the first attempt close the bucket; the next one is a probe.
  await eventually("the bucket is closed", () => s3.calls.filter(isUpload).length > 3 || undefined);
  await eventually("its check has failed", async () => {
    return (await healthOf(service)).storage.reason?.includes("to HEAD in bucket") === true ? true : undefined;
  });
  expect((await service.fetch(`/operators/jobs/${job}/cancel`, { method: "POST" })).status).toBe(202);
  await service.finished(job);
  isAway = false;
  s3.faultFor = (call) => (isUpload(call) ? expect.unreachable("nothing is uploaded") : undefined);
  await eventually("the service is ready", async () => (await healthOf(service)).ready === 200 || undefined, 30_000);
});

test("a bucket that can be seen all the time, and refuses uploads, opens by a small object, though no task is there", async () => {
  await using origin = await startOrigin();
  await using s3 = await startFaultyS3();
  await using service = await startOn(s3);
  const isTrial = ({ key }: S3Call) => key.startsWith(".fetchbox-check/");
  let refuses = true;
  s3.faultFor = (call) => {
    const isUpload = call.method === "PUT" && (call.key.startsWith("resources/") || isTrial(call));
    return isUpload && refuses ? refusal(507, "InsufficientStorage") : undefined;
  };
  const resources = [{ id: "a", url: origin.serve("/a", "a") }];
  const job = await service.submit({ manifest_version: "v1", resources });
  await eventually("the bucket is closed", async () => (await healthOf(service)).ready === 503 || undefined, 30_000);
  expect((await service.fetch(`/operators/jobs/${job}/cancel`, { method: "POST" })).status).toBe(202);
  await service.finished(job);
  await eventually("a trial that is refused", () => s3.calls.some(isTrial) || undefined, 60_000);
  refuses = false;
  await eventually("the service is ready", async () => (await healthOf(service)).ready === 200 || undefined, 30_000);
  expect([...s3.objects.keys()].filter((key) => !key.startsWith("manifests/"))).toEqual([]);
});
