import { expect, setDefaultTimeout, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { type FaultyS3, startFaultyS3 } from "../support/faulty-s3.ts";
import type { S3Call } from "../support/memory-s3.ts";
import { startOrigin } from "../support/origin.ts";
import { freePort } from "../support/peers.ts";
import { prepareService } from "../support/service.ts";

setDefaultTimeout(120_000);

/** A server's answer to these requests does not come. */
function hold(s3: FaultyS3, matches: (call: S3Call) => boolean): void {
  s3.faultFor = (call) => (matches(call) ? { kind: "hang" } : undefined);
}

test("until recovery has ended, nothing is taken and nothing is changed, and the service can be read", async () => {
  await using origin = await startOrigin();
  await using s3 = await startFaultyS3();
  const url = `http://127.0.0.1:${await freePort()}`;
  await using service = await prepareService({
    settings: {
      "server.bind_addr": new URL(url).host,
      "storage.backend": "s3",
      "storage.endpoint": s3.endpoint,
      "storage.bucket": "fetchbox-artifacts",
    },
    env: { S3_ACCESS_KEY_ID: "key", S3_SECRET_ACCESS_KEY: "secret" },
  });
  hold(s3, ({ key }) => key === "");
  const isStarting = s3.arrival(({ key }) => key === "");
  const started = service.start();
  await isStarting;
  const ask = (path: string, init: RequestInit = {}) => fetch(url + path, init);
  const manifest = { manifest_version: "v1", resources: [{ id: "a", url: origin.serve("/a", "a") }] };
  const submit = () =>
    ask("/jobs", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(manifest),
    });

  const changes = await Promise.all([
    submit(),
    ask("/operators/queue/pause", { method: "POST" }),
    ask("/operators/dlq/1", { method: "DELETE" }),
  ]);
  for (const refused of changes) {
    expect({ status: refused.status, retryAfter: refused.headers.get("retry-after") }).toEqual({
      status: 503,
      retryAfter: "1",
    });
    expect(await refused.json()).toMatchObject({
      code: "STORAGE_UNAVAILABLE",
      message: expect.stringContaining("is starting"),
    });
  }
  expect((await ask("/health/ready")).status).toBe(503);
  expect((await ask("/health/live")).status).toBe(200);
  expect(await (await ask("/operators/jobs")).json()).toEqual({ jobs: [], next_cursor: null });
  expect(s3.calls.filter(({ method }) => method === "PUT")).toEqual([]);

  hold(s3, () => false);
  await started;
  await eventually("it is ready", async () => (await ask("/health/ready")).status === 200 || undefined);
  const accepted = await submit();
  expect(accepted.status).toBe(202);
  const { job_id } = (await accepted.json()) as { job_id: string };
  expect((await service.finished(job_id)).status).toBe("completed");
  expect((await service.get<{ paused: boolean }>("/operators/queue")).paused).toBe(false);
});
