import { expect, test } from "bun:test";
import { startOrigin } from "../support/origin.ts";
import { startService } from "../support/service.ts";
import { LOCAL } from "../support/storage.ts";

// A lost wake-up costs a second or more each time: over the whole job far more than a slow machine does.
test("a host with a rate of 50 per second gets 150 requests without standing still", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { ...LOCAL.settings, "download.host.rate_per_second": 50 } });
  const resources = Array.from({ length: 150 }, (_, i) => ({ id: `${i}`, url: origin.serve(`/${i}`, "abc") }));
  const job = await service.submit({ manifest_version: "v1", resources });
  expect((await service.finished(job, 30_000)).status).toBe("completed");
});
