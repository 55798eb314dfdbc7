import { expect, test } from "bun:test";
import { createExpansion } from "../../src/intake/expand.ts";
import { createDefaultHandler } from "../../src/intake/handlers/default-handler.ts";
import type { HandlerSettings, JobContext } from "../../src/intake/handlers/handler.ts";
import { jobStorage } from "../../src/intake/job-storage.ts";
import type { TaskSpec } from "../../src/jobs/task.ts";
import { LIMITS, manifestWith, parse } from "./manifests.ts";

function contextFor(manifest: object, handler: Partial<HandlerSettings> = {}): JobContext {
  const job = { jobId: "j1", jobType: "default", bucket: "artifacts" };
  return {
    ...job,
    tenant: "default",
    traceId: "0".repeat(32),
    priority: "normal",
    storage: jobStorage(parse(manifest).manifest, job),
    handler: { defaultHeaders: {}, options: {}, ...handler },
  };
}

async function tasksOf(manifest: object, settings: Partial<HandlerSettings> = {}): Promise<TaskSpec[]> {
  const handler = createDefaultHandler();
  const context = contextFor(manifest, settings);
  const expansion = createExpansion(context, { limits: LIMITS });
  const batches = await Array.fromAsync(handler.tasks(parse(manifest).manifest, context));
  return batches.flat().map((spec) => expansion.resolve(spec));
}

test("each resource becomes one task, in order, with all its fields", async () => {
  const manifest = {
    manifest_version: "v1",
    resources: [
      {
        id: "b",
        url: "https://example.com/b",
        headers: { A: "b" },
        tags: { c: "d" },
        checksum: `md5:${"0".repeat(32)}`,
        size: 1,
        content_type: "image/*",
        reject_html: true,
        proxy_pool: "residential-us",
      },
      { id: "a", url: "https://example.com/a" },
    ],
  };
  expect(await tasksOf(manifest)).toEqual([
    {
      resourceId: "b",
      url: "https://example.com/b",
      headers: { A: "b" },
      tags: { c: "d" },
      checksum: `md5:${"0".repeat(32)}`,
      size: 1,
      contentType: "image/*",
      rejectHtml: true,
      proxyPool: "residential-us",
      bucket: "artifacts",
      key: "resources/default/j1/b",
    },
    { resourceId: "a", url: "https://example.com/a", bucket: "artifacts", key: "resources/default/j1/a" },
  ]);
});

test("the configuration's headers are added, and a resource's own win, whatever the letter case", async () => {
  const defaultHeaders = { "User-Agent": "FetchBox/1.0", Accept: "image/*" };
  const [task] = await tasksOf(manifestWith({ headers: { "user-agent": "mine", X: "y" } }), { defaultHeaders });
  expect(task?.headers).toEqual({ "user-agent": "mine", Accept: "image/*", X: "y" });
  expect((await tasksOf(manifestWith({}), { defaultHeaders }))[0]?.headers).toEqual(defaultHeaders);
});

test("ten headers of the configuration and ten of the resource can be sent together", async () => {
  const ten = (letter: string) => Object.fromEntries(Array.from({ length: 10 }, (_, at) => [`${letter}-${at}`, "v"]));
  const [task] = await tasksOf(manifestWith({ headers: ten("A") }), { defaultHeaders: ten("B") });
  expect(Object.keys(task?.headers ?? {})).toHaveLength(20);
});

test("the configuration's pool and reject_html are the defaults of a resource", async () => {
  const settings = { proxyPool: "residential-us", rejectHtml: true };
  expect((await tasksOf(manifestWith({}), settings))[0]).toMatchObject(settings);
  expect((await tasksOf(manifestWith({ reject_html: false }), settings))[0]).toMatchObject({ rejectHtml: false });
});

test("objects lie where the contract puts them", () => {
  const storageOf = (storage?: object) =>
    contextFor(manifestWith({}, storage === undefined ? {} : { storage })).storage;
  expect(storageOf()).toEqual({
    bucket: "artifacts",
    resourceKeyPrefix: "resources/default/j1/",
    manifest: { bucket: "artifacts", key: "manifests/default/j1/metadata.json" },
  });
  expect(storageOf({ manifest_file: "m.json" }).manifest.key).toBe("manifests/default/j1/m.json");
  expect(storageOf({ bucket: "other", resource_key_prefix: "a/b/", manifest_file: "m.json" })).toEqual({
    bucket: "other",
    resourceKeyPrefix: "a/b/",
    manifest: { bucket: "other", key: "a/b/m.json" },
  });
});
