import { expect, test } from "bun:test";
import {
  HEALTH_COMPONENTS,
  type HealthComponent,
  type HealthStatus,
  overallHealth,
} from "../../src/telemetry/health.ts";

function overallWith(name: HealthComponent, status: HealthStatus): HealthStatus {
  const healthy = { status: "healthy" } as const;
  const all = {
    api: healthy,
    queue: healthy,
    ledger: healthy,
    dlq: healthy,
    broker: healthy,
    workers: healthy,
    storage: healthy,
  };
  return overallHealth({ ...all, [name]: { status } });
}

test("the service is healthy only if every part is", () => {
  for (const name of HEALTH_COMPONENTS) {
    expect(overallWith(name, "healthy")).toBe("healthy");
    expect(overallWith(name, "degraded")).toBe("degraded");
  }
});

test("an unhealthy part makes the service unhealthy, but for the dead letters", () => {
  for (const name of HEALTH_COMPONENTS) {
    expect([name, overallWith(name, "unhealthy")]).toEqual([name, name === "dlq" ? "degraded" : "unhealthy"]);
  }
});
