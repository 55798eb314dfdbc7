import { expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, fstatSync, openSync, writeSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { runBinary } from "../support/binary.ts";
import { startOrigin } from "../support/origin.ts";
import { startService } from "../support/service.ts";

setDefaultTimeout(60_000);

/** Noise over all pages but the first. */
function damage(file: string): void {
  const fd = openSync(file, "r+");
  const { size } = fstatSync(fd);
  writeSync(fd, Buffer.alloc(size - 4096, 0xa5), 0, size - 4096, 4096);
  closeSync(fd);
}

test.each(["queue", "ledger", "dlq"])("verify and backup name %s.db where that is the damaged one", async (store) => {
  await using origin = await startOrigin();
  await using service = await startService();
  const resources = Array.from({ length: 50 }, (_, i) => ({ id: `${i}`, url: origin.serve(`/${i}`, "x") }));
  await service.finished(await service.submit({ manifest_version: "v1", resources }));
  expect(await service.stop()).toBe(0);
  const file = join(service.folder, "data", store, `${store}.db`);
  damage(file);
  for (const command of [["verify"], ["backup", "copy"]]) {
    const { code, stderr } = await runBinary(command, { cwd: service.folder, env: service.env });
    expect([command, code]).toEqual([command, 3]);
    expect(stderr).toContain(file);
  }
});

test.each(["queue", "ledger", "dlq"])(
  "a %s.db that is moved away under the service is told, and no job is taken",
  async (store) => {
    await using origin = await startOrigin();
    await using service = await startService();
    const manifest = { manifest_version: "v1", resources: [{ id: "a", url: origin.serve("/a", "x") }] };
    await service.submit(manifest);
    const folder = join(service.folder, "data", store);
    await rename(folder, `${folder}-away`);
    const health = (await (await service.fetch("/operators/health")).json()) as {
      components: Record<string, { status: string; reason?: string }>;
    };
    expect(health.components[store]).toEqual({
      status: "unhealthy",
      reason: expect.stringContaining(`${store}.db was deleted or moved away`),
    });
    expect((await service.fetch("/health/ready")).status).toBe(503);
    const metrics = await (await service.fetch("/metrics")).text();
    expect(metrics).toContain(`fetchbox_component_up{component="${store}"} 0`);
    expect(metrics).toContain('fetchbox_component_up{component="storage"} 1');
    const refused = await service.fetch("/jobs", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(manifest),
    });
    expect([refused.status, ((await refused.json()) as { code: string }).code]).toEqual([503, "STORAGE_UNAVAILABLE"]);
    await rename(`${folder}-away`, folder);
    await service.finished(await service.submit(manifest));
    expect((await service.fetch("/health/ready")).status).toBe(200);
  },
);

test("where all stores are gone, verify and backup say so, a start makes new ones, and the objects are left alone", async () => {
  await using origin = await startOrigin();
  await using service = await startService();
  const manifest = { manifest_version: "v1", resources: [{ id: "a", url: origin.serve("/a", "x") }] };
  await service.finished(await service.submit(manifest));
  expect(await service.stop()).toBe(0);
  for (const store of ["queue", "ledger", "dlq"]) await rm(join(service.folder, "data", store), { recursive: true });
  for (const command of [["verify"], ["backup", "copy"]]) {
    const { code, stderr } = await runBinary(command, { cwd: service.folder, env: service.env });
    expect([command, code, stderr]).toEqual([
      command,
      3,
      expect.stringMatching(/^fetchbox: \S+queue\.db: the three stores are missing: a start makes /),
    ]);
  }
  await service.start();
  expect(await service.get<unknown>("/operators/jobs")).toMatchObject({ jobs: [] });
  const { code, stdout } = await runBinary(["verify"], { cwd: service.folder, env: service.env });
  expect([code, stdout]).toEqual([0, expect.stringContaining("1 object is of jobs that are not known here")]);
});
