import type { StoreName, Stores } from "../jobs/stores/service-stores.ts";
import { isDiskFull } from "../jobs/stores/store-error.ts";
import type { StorageCheck } from "../maintenance/bucket-check.ts";
import { errorText } from "../std/error-text.ts";
import type { BucketHealth } from "../storage/bucket-health.ts";
import type { ComponentHealth, HealthReport } from "../telemetry/health.ts";

/** The current errors of the components. An error is cleared when its component works again. */
export class ComponentErrors {
  readonly #known = new Map<StoreName, { readonly reason: string; readonly isDiskFull: boolean }>();

  /** Notes an error. False if the same one is known, so that a retry is not logged each time. */
  note(component: StoreName, error: unknown): boolean {
    const reason = errorText(error);
    if (this.#known.get(component)?.reason === reason) return false;
    this.#known.set(component, { reason, isDiskFull: isDiskFull(error) });
    return true;
  }

  has(component: StoreName): boolean {
    return this.#known.has(component);
  }

  clear(component: StoreName): void {
    this.#known.delete(component);
  }

  isDiskFull(component: StoreName): boolean {
    return this.#known.get(component)?.isDiskFull === true;
  }

  clearProjections(): void {
    this.clear("ledger");
    this.clear("dlq");
  }

  of(component: StoreName, stores: Pick<Stores, "problemOf">): ComponentHealth {
    const reason = stores.problemOf(component) ?? this.#known.get(component)?.reason;
    return reason === undefined ? { status: "healthy" } : { status: "unhealthy", reason };
  }
}

const PAUSED: ComponentHealth = { status: "degraded", reason: "paused: no download starts until it is resumed" };

interface HealthDeps {
  readonly componentErrors: ComponentErrors;
  readonly stores: Pick<Stores, "problemOf">;
  readonly storageCheck: Pick<StorageCheck, "problem" | "doubt">;
  readonly buckets: Pick<BucketHealth, "problems">;
  /** Reasons why the workers are held up. */
  readonly workerProblems: () => readonly string[];
  readonly phase: () => "starting" | "running" | "draining";
  readonly isPaused: () => boolean;
  /** The length of the latest block of the event loop, in milliseconds, if it is recent. */
  readonly stuckMs: () => number | undefined;
}

/** The health of every component, for `/operators/health` and readiness. */
export function createHealth(deps: HealthDeps): () => HealthReport {
  const { componentErrors, stores, storageCheck, buckets, phase, isPaused, stuckMs } = deps;
  return () => {
    const now = phase();
    const stage: ComponentHealth =
      now === "running" ? { status: "healthy" } : { status: "degraded", reason: `the service is ${now}` };
    const storage = storageHealth(storageCheck, buckets);
    const api = apiHealth(stage, stuckMs());
    const components = {
      api,
      queue: componentErrors.of("queue", stores),
      ledger: componentErrors.of("ledger", stores),
      dlq: componentErrors.of("dlq", stores),
      broker: stage.status === "healthy" && isPaused() ? PAUSED : stage,
      workers: workersHealth(stage, deps.workerProblems()),
      storage,
    };
    const works = [api, components.queue, components.ledger, components.dlq, storage].every(
      ({ status }) => status !== "unhealthy",
    );
    return { components, ready: now === "running" && works, draining: now === "draining" };
  };
}

/** The workers are degraded at most: they recover by themselves, and the service still accepts jobs. */
function workersHealth(stage: ComponentHealth, problems: readonly string[]): ComponentHealth {
  return problems.length === 0 ? stage : { status: "degraded", reason: problems.join("; ") };
}

function apiHealth(stage: ComponentHealth, stuckMs: number | undefined): ComponentHealth {
  if (stuckMs === undefined) return stage;
  return { status: "unhealthy", reason: `the event loop was blocked for ${Math.round(stuckMs)} ms` };
}

function storageHealth(
  { problem, doubt }: HealthDeps["storageCheck"],
  buckets: HealthDeps["buckets"],
): ComponentHealth {
  if (problem !== undefined) return { status: "unhealthy", reason: problem };
  const closed = [...buckets.problems()].map(([bucket, failure]) => `${bucket}: ${failure.message}`);
  if (closed.length > 0) return { status: "unhealthy", reason: closed.join("; ") };
  return doubt === undefined ? { status: "healthy" } : { status: "degraded", reason: doubt };
}
