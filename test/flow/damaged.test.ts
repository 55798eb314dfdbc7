import { expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, fstatSync, openSync, writeSync } from "node:fs";
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
