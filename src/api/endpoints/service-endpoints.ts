import { HEALTH_COMPONENTS, type HealthReport, overallHealth } from "../../telemetry/health.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { ApiError } from "../http/errors.ts";
import { json } from "../http/json-response.ts";
import { HEALTH_EXAMPLE } from "../openapi/schema-examples.ts";
import type { Endpoint } from "./endpoint.ts";

interface ServiceEndpointsDeps {
  readonly health: () => HealthReport;
  readonly metrics: Pick<Metrics, "scrape" | "contentType">;
  readonly version: string;
  /** Milliseconds of a monotonic clock. */
  readonly monotonic: () => number;
  /** Time of the start by the same clock. */
  readonly startedAt: number;
}

export function serviceEndpoints(deps: ServiceEndpointsDeps): Endpoint[] {
  return [readHealth(deps), live(), ready(deps), metrics(deps)];
}

function readHealth({ health, version, monotonic, startedAt }: ServiceEndpointsDeps): Endpoint {
  return {
    method: "GET",
    path: "/operators/health",
    access: "read",
    doc: {
      tag: "Service",
      summary: "Read the health of the service",
      description: "Shows the health of each component, with the reason if it is not healthy.",
      answers: {
        200: { description: "The service is healthy or degraded.", schema: "Health", example: HEALTH_EXAMPLE },
        503: { description: "The service is unhealthy: a critical component is.", schema: "Health" },
      },
    },
    answer: () => {
      const { components } = health();
      const status = overallHealth(components);
      const uptime_seconds = Math.floor((monotonic() - startedAt) / 1000);
      return json({ status, components, version, uptime_seconds }, { status: status === "unhealthy" ? 503 : 200 });
    },
  };
}

function live(): Endpoint {
  return {
    method: "GET",
    path: "/health/live",
    access: "open",
    doc: {
      tag: "Service",
      summary: "Check that the process runs",
      description: "A liveness probe. It needs no token.",
      answers: { 200: { description: "The process is running.", schema: "Alive", example: { status: "alive" } } },
    },
    answer: () => json({ status: "alive" }),
  };
}

function ready({ health }: ServiceEndpointsDeps): Endpoint {
  return {
    method: "GET",
    path: "/health/ready",
    access: "open",
    doc: {
      tag: "Service",
      summary: "Check that the service accepts jobs",
      description:
        "A readiness probe. It needs no token. `details` of an error names the components that are not healthy.",
      answers: { 200: { description: "The service accepts jobs.", schema: "Ready", example: { status: "ready" } } },
      errors: ["NOT_READY", "SHUTTING_DOWN"],
    },
    answer: () => {
      const { ready: isReady, draining, components } = health();
      if (isReady) return json({ status: "ready" });
      if (draining) throw new ApiError("SHUTTING_DOWN");
      // The endpoint is open to everyone, so it names the components without the reasons.
      const details = HEALTH_COMPONENTS.filter((name) => components[name].status !== "healthy").map((name) => ({
        path: `/components/${name}`,
        message: components[name].status,
      }));
      throw new ApiError("NOT_READY", { details });
    },
  };
}

function metrics({ metrics: { scrape, contentType } }: ServiceEndpointsDeps): Endpoint {
  return {
    method: "GET",
    path: "/metrics",
    access: "read",
    doc: {
      tag: "Service",
      summary: "Read the metrics",
      description: "An endpoint for Prometheus to scrape.",
      answers: {
        200: {
          description: "The metrics in the Prometheus text format.",
          contentType: "text/plain",
          example: '# TYPE fetchbox_queue_depth gauge\nfetchbox_queue_depth{state="pending"} 0\n',
        },
      },
    },
    answer: async () => new Response(await scrape(), { headers: { "content-type": contentType } }),
  };
}
