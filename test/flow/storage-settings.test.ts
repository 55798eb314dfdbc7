import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { expectTrueBooks } from "../support/books.ts";
import { type FaultyS3, startFaultyS3 } from "../support/faulty-s3.ts";
import type { S3Call } from "../support/memory-s3.ts";
import { startOrigin } from "../support/origin.ts";
import { pattern } from "../support/pattern.ts";
import { type Service, startService } from "../support/service.ts";
import { LOCAL } from "../support/storage.ts";

setDefaultTimeout(60_000);

const MIB = 2 ** 20;
const STORAGE = {
  metadata: { album: "Größe 1", team: "mine" },
  tags: { project: "a b", stage: "" },
  class: "STANDARD_IA",
};
const KEPT = {
  "x-amz-meta-album": "Gr%C3%B6%C3%9Fe 1",
  "x-amz-meta-team": "mine",
  "x-amz-tagging": "project=a%20b&stage=",
  "x-amz-storage-class": "STANDARD_IA",
};
const TOML = `
[storage.headers]
X-Amz-Acl = "private"
x-amz-storage-class = "STANDARD"
x-amz-expected-bucket-owner = "\${OWNER}"
[handlers.gallery]
handler = "default"
storage.headers = { x-amz-meta-team = "gallery", Cache-Control = "max-age=60" }
`;

function startOn(s3: FaultyS3): Promise<Service> {
  return startService({
    toml: TOML,
    settings: { "storage.backend": "s3", "storage.endpoint": s3.endpoint, "storage.bucket": "fetchbox-artifacts" },
    env: { S3_ACCESS_KEY_ID: "key", S3_SECRET_ACCESS_KEY: "secret", OWNER: "123456789012" },
  });
}

function post(service: Service, path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return service.fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

async function submitAs(service: Service, jobType: string, manifest: unknown): Promise<string> {
  const response = await post(service, "/jobs", manifest, { "x-fetchbox-job-type": jobType });
  expect(response.status).toBe(202);
  return ((await response.json()) as { job_id: string }).job_id;
}

const makesObject = ({ method, query }: S3Call) =>
  (method === "PUT" && !query.has("uploadId")) || (method === "POST" && query.has("uploads"));

/** The headers of those names that objects under a prefix were made with. */
function headersUnder(s3: FaultyS3, prefix: string, names: readonly string[]): (readonly [string, unknown])[] {
  const calls = s3.calls.filter((call) => makesObject(call) && call.key.startsWith(prefix));
  return calls.map(({ key, headers }) => [
    key.slice(prefix.length),
    Object.fromEntries(names.flatMap((name) => (headers.has(name) ? [[name, headers.get(name)]] : []))),
  ]);
}

describe("what a manifest wants kept with its objects", () => {
  test("is sent with each, after a kill, a dead letter and its replay too; the manifest object has none of it", async () => {
    await using origin = await startOrigin();
    await using s3 = await startFaultyS3();
    await using service = await startOn(s3);
    await post(service, "/operators/queue/pause", {});
    const resources = [
      { id: "small", url: origin.serve("/small", "small") },
      { id: "large", url: origin.serve("/large", pattern(2 * MIB)) },
      { id: "gone", url: `${origin.url}/gone` },
    ];
    const job = await service.submit({ manifest_version: "v1", storage: STORAGE, resources });
    await service.kill();
    await service.start();
    await post(service, "/operators/queue/resume", {});
    expect(await service.finished(job)).toMatchObject({ status: "partial", resource_completed: 2 });
    expect(await service.stop()).toBe(0);
    await service.start();
    origin.serve("/gone", "back");
    await post(service, "/operators/dlq/replay", { filter: {} });
    expect((await service.finished(job)).status).toBe("completed");

    const names = [...Object.keys(KEPT), "x-amz-acl"];
    const made = headersUnder(s3, `resources/default/${job}/`, names);
    expect(made.map(([id]) => id).toSorted()).toEqual(["gone", "large", "small"]);
    for (const [, headers] of made) expect(headers).toEqual({ ...KEPT, "x-amz-acl": "private" });
    expect(headersUnder(s3, `manifests/default/${job}/`, names)).toEqual([
      ["metadata.json", { "x-amz-acl": "private", "x-amz-storage-class": "STANDARD" }],
    ]);
    const manifest = s3.objects.get(`manifests/default/${job}/metadata.json`)?.body;
    expect(JSON.parse(Buffer.from(manifest ?? []).toString())).toMatchObject({ storage: STORAGE });
  });

  test("is accepted by local storage, and ignored", async () => {
    await using origin = await startOrigin();
    await using service = await startService({ toml: TOML, env: { OWNER: "x" }, settings: LOCAL.settings });
    const resources = [{ id: "small", url: origin.serve("/small", "small") }];
    const job = await service.submit({ manifest_version: "v1", storage: STORAGE, resources });
    expect((await service.finished(job)).status).toBe("completed");
    await expectTrueBooks(service, LOCAL, job, new Map([["small", Buffer.from("small")]]));
  });
});

test("a handler's headers go with the objects of its jobs, the manifest object too, and no others'", async () => {
  await using origin = await startOrigin();
  await using s3 = await startFaultyS3();
  await using service = await startOn(s3);
  const manifest = { manifest_version: "v1", resources: [{ id: "a", url: origin.serve("/a", "a") }] };
  const jobs = { gallery: await submitAs(service, "gallery", manifest), default: await service.submit(manifest) };
  for (const job of Object.values(jobs)) expect((await service.finished(job)).status).toBe("completed");

  const names = ["x-amz-meta-team", "cache-control", "x-amz-acl"];
  for (const folder of ["resources", "manifests"]) {
    expect(headersUnder(s3, `${folder}/gallery/${jobs.gallery}/`, names).map(([, headers]) => headers)).toEqual([
      { "x-amz-meta-team": "gallery", "cache-control": "max-age=60", "x-amz-acl": "private" },
    ]);
    expect(headersUnder(s3, `${folder}/default/${jobs.default}/`, names).map(([, headers]) => headers)).toEqual([
      { "x-amz-acl": "private" },
    ]);
  }
  expect(new Set(s3.calls.map(({ headers }) => headers.get("x-amz-expected-bucket-owner")))).toEqual(
    new Set(["123456789012"]),
  );
});
