import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { DeadLetter } from "../support/answers.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { type Service, startService } from "../support/service.ts";
import { LOCAL } from "../support/storage.ts";

setDefaultTimeout(60_000);

let service: Service;
let origin: Origin;
beforeAll(async () => {
  origin = await startOrigin();
  service = await startService({ settings: { ...LOCAL.settings, "queue.max_retries": 3 } });
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
  await origin[Symbol.asyncDispose]();
});

const objects = (...path: string[]) => join(service.folder, "data/objects", ...path);

/** One resource, whose object is `{prefix}{id}` and has its key for contents. */
function manifestOf(prefix: string, id: string, manifestFile: string): object {
  const url = origin.serve(`/${manifestFile}/${id}`, prefix + id);
  const storage = { resource_key_prefix: prefix, manifest_file: manifestFile };
  return { manifest_version: "v1", storage, resources: [{ id, url }] };
}

function temporaries(): string[] {
  const entries = readdirSync(objects(".uploads"), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile() && !entry.name.endsWith(".lock")).map(({ name }) => name);
}

test.each([
  ["one/", "a", "a/b", "the object one/a"],
  ["two/", "a", "a/b/c/d", "the object two/a"],
  ["three/", "a/b", "a", "the folder three/a/"],
])("where %s%s lies, %s below that prefix is a dead letter at once", async (prefix, id, otherId, obstacle) => {
  const first = await service.submit(manifestOf(prefix, id, "first.json"));
  expect((await service.finished(first)).status).toBe("completed");
  const second = await service.submit(manifestOf(prefix, otherId, "second.json"));
  const job = await service.finished(second);
  expect(job.status).toBe("failed");
  const message = `bucket ${LOCAL.bucket}: the key ${prefix}${otherId} cannot be stored: ${obstacle} is in its way; `;
  expect(job.errors).toMatchObject([
    { code: "STORAGE_KEY_CONFLICT", message: expect.stringContaining(message), attempts: 1 },
  ]);
  const letters = await service.pages<DeadLetter>(`/operators/dlq?job_id=${second}`, "entries");
  expect(letters).toMatchObject([{ failure_code: "STORAGE_KEY_CONFLICT", attempts: 1 }]);
  expect(readFileSync(objects(LOCAL.bucket, prefix, id), "utf8")).toBe(prefix + id);
  expect(temporaries()).toEqual([]);
  expect((await service.fetch("/health/ready")).status).toBe(200);
});

test.each([
  ["under-object/", "a", "under-object/a/", "m.json", "the object under-object/a"],
  ["on-folder/", "a/b", "on-folder/", "a", "the folder on-folder/a/"],
])("a manifest object that %s%s keeps from its place is answered with 400", async (prefix, id, own, file, obstacle) => {
  await service.finished(await service.submit(manifestOf(prefix, id, "first.json")));
  const headers = { "idempotency-key": `${prefix}${file}` };
  const response = await service.post(manifestOf(own, "x", file), headers);
  expect(response.status).toBe(400);
  const message = `bucket ${LOCAL.bucket}: the key ${own}${file} cannot be stored: ${obstacle} is in its way; `;
  expect(await response.json()).toMatchObject({
    code: "INVALID_PAYLOAD",
    message: "the manifest cannot be stored under its key",
    details: [{ path: "/storage", message: expect.stringContaining(message) }],
  });
  expect(existsSync(objects(LOCAL.bucket, own, "x"))).toBe(false);
  expect(temporaries()).toEqual([]);
  // The idempotency key is free again.
  const other = await service.submit(manifestOf(`${prefix}free/`, "x", "m.json"), headers);
  expect((await service.finished(other)).status).toBe("completed");
});
