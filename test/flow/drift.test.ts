import { Database } from "bun:sqlite";
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { expectIdle } from "../support/books.ts";
import { startOrigin } from "../support/origin.ts";
import { type Service, startService } from "../support/service.ts";

setDefaultTimeout(60_000);

/** Changes a store while nobody works on it. */
function tamper(service: Service, store: "queue" | "ledger", sql: string): void {
  using db = new Database(join(service.folder, `data/${store}/${store}.db`), { readwrite: true });
  db.run(sql);
}

test("counters that are wrong hold nothing up: they are counted anew, and log and metrics say so", async () => {
  await using origin = await startOrigin();
  await using service = await startService();
  await service.fetch("/operators/queue/pause", { method: "POST" });
  const resources = Array.from({ length: 8 }, (_, i) => ({ id: `${i}`, url: origin.serve(`/${i}`, "x") }));
  const job = await service.submit({ manifest_version: "v1", resources });
  await service.stop();
  tamper(service, "queue", "UPDATE depth SET tasks = 0");
  tamper(service, "queue", "UPDATE jobs SET completed = 3");
  tamper(service, "queue", "DELETE FROM waits");
  tamper(service, "ledger", "UPDATE jobs SET completed = 3");
  await service.start();
  await service.fetch("/operators/queue/resume", { method: "POST" });
  expect(await service.finished(job)).toMatchObject({ status: "completed", resource_completed: 8 });
  await expectIdle(service);
  const metrics = await (await service.fetch("/metrics")).text();
  for (const counter of ["depth", "jobs", "host_waits", "ledger_jobs"]) {
    expect(metrics).toContain(`fetchbox_counters_rebuilt_total{counter="${counter}"} `);
    expect(service.log).toContain(`"counter":"${counter}"`);
  }
});
