export const HEALTH_STATUSES = ["healthy", "degraded", "unhealthy"] as const;
export type HealthStatus = (typeof HEALTH_STATUSES)[number];

export const HEALTH_COMPONENTS = ["api", "queue", "ledger", "dlq", "broker", "workers", "storage"] as const;
export type HealthComponent = (typeof HEALTH_COMPONENTS)[number];

export interface ComponentHealth {
  readonly status: HealthStatus;
  /** Why it is not healthy, for operators: no secrets. */
  readonly reason?: string;
}

export interface HealthReport {
  readonly components: Readonly<Record<HealthComponent, ComponentHealth>>;
  /** Takes jobs: not draining, stores and storage at work. */
  readonly ready: boolean;
  readonly draining: boolean;
}

/** Without one of the others no job is taken or no work is done; without dead letters both go on. */
const CRITICAL: ReadonlySet<HealthComponent> = new Set(["api", "queue", "ledger", "broker", "workers", "storage"]);

/** The service as a whole: unhealthy if a critical component is, degraded if anything else is wrong. */
export function overallHealth(components: HealthReport["components"]): HealthStatus {
  let overall: HealthStatus = "healthy";
  for (const name of HEALTH_COMPONENTS) {
    const { status } = components[name];
    if (status === "unhealthy" && CRITICAL.has(name)) return "unhealthy";
    if (status !== "healthy") overall = "degraded";
  }
  return overall;
}
