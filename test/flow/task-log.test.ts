import { expect, test } from "bun:test";
import { startOrigin } from "../support/origin.ts";
import { startService } from "../support/service.ts";
import { LOCAL } from "../support/storage.ts";

test("log lines of a task name their job, resource, task, trace and worker", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { ...LOCAL.settings, "queue.workers": 2 } });
  const job = await service.submit({
    manifest_version: "v1",
    resources: [
      ...Array.from({ length: 8 }, (_, i) => ({ id: `good-${i}`, url: origin.serve(`/${i}`, "abc") })),
      { id: "gone", url: `${origin.url}/gone` },
    ],
  });
  await service.finished(job);
  await service.stop();
  const lines = service.log
    .split("\n")
    .filter((line) => line.includes('"task_id"'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(lines.length).toBe(9);
  for (const line of lines) {
    expect(line).toMatchObject({ job_id: job, resource_id: expect.any(String), trace_id: expect.any(String) });
    expect([1, 2]).toContain(line["worker_id"] as number);
  }
});
