import { Database } from "bun:sqlite";
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { runBinary } from "../support/binary.ts";
import { startOrigin } from "../support/origin.ts";
import { startService } from "../support/service.ts";

setDefaultTimeout(60_000);

test("a queue.db that another program holds a lock on: 503 with Retry-After, and on it goes without it", async () => {
  await using origin = await startOrigin();
  await using service = await startService();
  const manifest = { manifest_version: "v1", resources: [{ id: "a", url: origin.serve("/a", "abc") }] };
  const job = await service.submit(manifest);
  await service.finished(job);
  using other = new Database(join(service.folder, "data/queue/queue.db"));
  other.run("BEGIN IMMEDIATE");
  const refused = await service.post(manifest);
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
  expect(await refused.json()).toMatchObject({
    code: "STORAGE_UNAVAILABLE",
    message: "another program holds a lock on a store; try again in a moment",
  });
  const paused = await service.fetch("/operators/queue/pause", { method: "POST" });
  expect(paused.status).toBe(503);
  expect((await service.job(job)).status).toBe("completed");
  other.run("ROLLBACK");
  expect((await service.finished(await service.submit(manifest))).status).toBe("completed");
});

test("a start that finds queue.db locked by another program ends with 4, and says so", async () => {
  await using service = await startService();
  await service.stop();
  const path = join(service.folder, "data/queue/queue.db");
  using other = new Database(path);
  other.run("PRAGMA locking_mode = EXCLUSIVE");
  other.run("BEGIN IMMEDIATE");
  const { code, stdout, stderr } = await runBinary(["serve"], { cwd: service.folder, env: service.env });
  expect({ code, stdout }).toEqual({ code: 4, stdout: "" });
  expect(stderr).toMatch(/^fetchbox: .*queue\.db: cannot be .*: another program holds a lock on it; .*\n$/);
});
