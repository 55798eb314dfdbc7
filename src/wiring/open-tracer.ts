import type { TracingConfig } from "../config/schema.ts";
import { createPassingTracer, type Tracer } from "../net/tracer.ts";
import type { FoundationDeps } from "./foundation.ts";

/** A tracer that passes traces on. It sends spans if that is configured, and loads the exporter only then. */
export async function openTracer(
  { otlp_endpoint: url, headers, sample_ratio: sampleRatio }: TracingConfig,
  { log, version }: Pick<FoundationDeps, "log" | "version">,
): Promise<Tracer> {
  if (url === "") return createPassingTracer((bytes) => crypto.getRandomValues(bytes));
  const { createOtlpTracer } = await import("../telemetry/otlp-tracer.ts");
  let lastReason = "";
  const onProblem = (reason: string) => {
    if (reason === lastReason) return; // each retry would log it
    lastReason = reason;
    log.warn({ reason }, "spans could not be sent and are lost; jobs are not affected");
  };
  return createOtlpTracer({ url, headers, sampleRatio, version, onProblem });
}
