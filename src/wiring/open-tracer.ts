import type { TracingConfig } from "../config/schema.ts";
import { createPassingTracer, type Tracer } from "../net/tracer.ts";
import type { FoundationDeps } from "./foundation.ts";

/** Passes traces on; sends spans where the configuration says so, and only then loads what it takes. */
export async function openTracer(
  { otlp_endpoint: url, headers, sample_ratio: sampleRatio }: TracingConfig,
  { log, version }: Pick<FoundationDeps, "log" | "version">,
): Promise<Tracer> {
  if (url === "") return createPassingTracer((bytes) => crypto.getRandomValues(bytes));
  const { createOtlpTracer } = await import("../telemetry/otlp-tracer.ts");
  let told = "";
  const onProblem = (reason: string) => {
    if (reason === told) return; // it is tried again and again
    told = reason;
    log.warn({ reason }, "spans could not be sent, and are lost; nothing else is");
  };
  return createOtlpTracer({ url, headers, sampleRatio, version, onProblem });
}
