import { type FillRandom, newSpanId, newTraceId, type TraceContext } from "./trace-context.ts";

export type SpanAttributes = Readonly<Record<string, string | number>>;

export interface SpanEnd {
  /** The names follow OpenTelemetry's semantic conventions, or begin with `fetchbox.`. */
  readonly attributes: SpanAttributes;
  /** The failure code of failed work. */
  readonly failure?: string | undefined;
}

/** A running piece of work in a trace. */
export interface Span {
  /** The context that the span's requests send. */
  readonly context: TraceContext;
  /** Ends the span; call it once. It calls `describe` only for an exported span. */
  end(describe: () => SpanEnd): void;
}

export interface Tracer {
  /** Starts a span that answers or sends a request. Without a parent it starts a trace. */
  start(name: string, kind: "server" | "client", parent: TraceContext | undefined): Span;
  /** Exports the ended spans, in a few seconds at most. */
  stop(): Promise<void>;
}

/** A tracer without an export: its spans pass the client's trace on, each under its own id. */
export function createPassingTracer(fillRandom: FillRandom): Tracer {
  return {
    start: (_name, _kind, parent) => ({
      context: {
        traceId: parent?.traceId ?? newTraceId(fillRandom),
        spanId: newSpanId(fillRandom),
        sampled: parent?.sampled ?? false,
      },
      end: () => {},
    }),
    stop: () => Promise.resolve(),
  };
}
