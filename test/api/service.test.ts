import { expect, test } from "bun:test";
import type { HealthReport } from "../../src/telemetry/health.ts";
import { HEALTHY, startTestApi } from "./running-api.ts";

function ailing(part: Partial<HealthReport["components"]>, ready: boolean, draining = false): () => HealthReport {
  return () => ({ components: { ...HEALTHY.components, ...part }, ready, draining });
}

test("the health of a healthy service has its version and uptime", async () => {
  await using api = await startTestApi();
  api.now += 90_500;
  expect(await api.get("Health", "/operators/health")).toEqual({
    status: "healthy",
    components: HEALTHY.components,
    version: "1.2.3",
    uptime_seconds: 90,
  });
  expect(await api.get("Ready", "/health/ready")).toEqual({ status: "ready" });
  expect(await api.get("Alive", "/health/live")).toEqual({ status: "alive" });
});

test("a degraded service is answered with 200 and the reason", async () => {
  const dlq = { status: "unhealthy", reason: "dlq.db lags" } as const;
  await using api = await startTestApi({ health: ailing({ dlq }, true) });
  const health = await api.get("Health", "/operators/health");
  expect([health.status, health.components.dlq]).toEqual(["degraded", dlq]);
});

test("the health of an unhealthy service is 503: everyone sees the component, operators also the reason", async () => {
  const storage = { status: "unhealthy", reason: "bucket x is gone" } as const;
  await using api = await startTestApi({ health: ailing({ storage }, false) });
  const health = await api.fetch("/operators/health");
  expect(health.status).toBe(503);
  expect(await health.json()).toMatchObject({ status: "unhealthy", components: { storage } });
  const error = await api.error("/health/ready", 503);
  expect(error.code).toBe("NOT_READY");
  expect(error.details).toEqual([{ path: "/components/storage", message: "unhealthy" }]);
  expect(JSON.stringify(error)).not.toContain("bucket");
  expect((await api.fetch("/health/live")).status).toBe(200);
});

test("a draining service lives, but is not ready", async () => {
  await using api = await startTestApi({ health: ailing({}, false, true) });
  expect((await api.error("/health/ready", 503)).code).toBe("SHUTTING_DOWN");
  expect((await api.fetch("/health/ready")).headers.get("retry-after")).toMatch(/^\d+$/);
  expect((await api.fetch("/health/live")).status).toBe(200);
});

test("the metrics are served in the Prometheus text format", async () => {
  await using api = await startTestApi();
  await api.submit(2);
  const response = await api.fetch("/metrics");
  expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  expect(await response.text()).toContain('fetchbox_queue_depth{state="pending"} 2');
});

test("a full disk's answers to changing requests count from 0, so that an alert sees the first one", async () => {
  await using api = await startTestApi();
  const text = await (await api.fetch("/metrics")).text();
  for (const [method, route] of [
    ["POST", "/jobs"],
    ["POST", "/operators/jobs/:job_id/cancel"],
    ["POST", "/operators/dlq/replay"],
    ["DELETE", "/operators/dlq/:task_id"],
    ["POST", "/operators/queue/pause"],
  ]) {
    expect(text).toContain(`fetchbox_http_requests_total{route="${route}",method="${method}",status="507"} 0\n`);
  }
});
