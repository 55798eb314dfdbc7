export const HEALTH_STATUSES = ["healthy", "degraded", "unhealthy"] as const;
export type HealthStatus = (typeof HEALTH_STATUSES)[number];

export const HEALTH_COMPONENTS = ["api", "queue", "ledger", "dlq", "broker", "workers", "storage"] as const;
export type HealthComponent = (typeof HEALTH_COMPONENTS)[number];

export interface ComponentHealth {
  readonly status: HealthStatus;
  /** The reason why it is not healthy, for operators and without secrets. */
  readonly reason?: string;
}

export interface HealthReport {
  readonly components: Readonly<Record<HealthComponent, ComponentHealth>>;
  /** Whether the service accepts jobs: it is not draining, and stores and storage work. */
  readonly ready: boolean;
  readonly draining: boolean;
}

/** The components that acceptance or downloads need. Both continue without dead letters. */
const CRITICAL: ReadonlySet<HealthComponent> = new Set(["api", "queue", "ledger", "broker", "workers", "storage"]);

/** The status of the service: unhealthy if a critical component is; degraded if any component is not healthy. */
export function overallHealth(components: HealthReport["components"]): HealthStatus {
  let overall: HealthStatus = "healthy";
  for (const name of HEALTH_COMPONENTS) {
    const { status } = components[name];
    if (status === "unhealthy" && CRITICAL.has(name)) return "unhealthy";
    if (status !== "healthy") overall = "degraded";
  }
  return overall;
}
