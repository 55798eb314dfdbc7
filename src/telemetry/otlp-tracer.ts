import {
  type Attributes,
  DiagLogLevel,
  diag,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import type { TraceContext } from "../net/trace-context.ts";
import type { Tracer } from "../net/tracer.ts";

interface OtlpOptions {
  /** The URL that receives spans, as JSON over HTTP. */
  readonly url: string;
  /** The headers of every request to it, which may be secret. */
  readonly headers: Readonly<Record<string, string>>;
  /** The share of the traces that start here, 0 to 1. For a client's trace the client decides. */
  readonly sampleRatio: number;
  readonly version: string;
  /** Receives the problems of the export, which lose spans only. */
  readonly onProblem: (message: string) => void;
}

const SEND_TIMEOUT_MS = 5000;
/** Most spans that wait for the export; further spans are lost. */
const WAITING_MAX = 8192;

/** Sends spans to an OpenTelemetry collector: https://opentelemetry.io/docs/specs/otlp/#otlphttp */
export function createOtlpTracer({ url, headers, sampleRatio, version, onProblem }: OtlpOptions): Tracer {
  diag.setLogger(
    { error: onProblem, warn: onProblem, info: () => {}, debug: () => {}, verbose: () => {} },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
  const exporter = new OTLPTraceExporter({ url, headers: { ...headers }, timeoutMillis: SEND_TIMEOUT_MS });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ "service.name": "fetchbox", "service.version": version }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sampleRatio) }),
    spanProcessors: [
      new BatchSpanProcessor({ exporter, maxQueueSize: WAITING_MAX, exportTimeoutMillis: SEND_TIMEOUT_MS }),
    ],
  });
  const tracer = provider.getTracer("fetchbox", version);
  return {
    start(name, kind, parent) {
      const span = tracer.startSpan(name, { kind: KINDS[kind] }, contextOf(parent));
      const { traceId, spanId, traceFlags } = span.spanContext();
      return {
        context: { traceId, spanId, sampled: (traceFlags & TraceFlags.SAMPLED) !== 0 },
        end(describe) {
          if (span.isRecording()) {
            const { attributes, failure } = describe();
            span.setAttributes(attributes as Attributes);
            if (failure !== undefined) {
              span.setAttribute("error.type", failure).setStatus({ code: SpanStatusCode.ERROR, message: failure });
            }
          }
          span.end();
        },
      };
    },
    stop: () => provider.shutdown().catch((error: unknown) => onProblem(String(error))),
  };
}

const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT } as const;

function contextOf(parent: TraceContext | undefined) {
  if (parent === undefined) return ROOT_CONTEXT;
  const { traceId, spanId, sampled } = parent;
  const traceFlags = sampled ? TraceFlags.SAMPLED : TraceFlags.NONE;
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
}
