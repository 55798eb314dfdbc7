import { type FillRandom, newSpanId, newTraceId, type TraceContext } from "./trace-context.ts";

export type SpanAttributes = Readonly<Record<string, string | number>>;

export interface SpanEnd {
  /** Names by OpenTelemetry's semantic conventions where they have one, else `fetchbox.…`. */
  readonly attributes: SpanAttributes;
  /** A failure code, where it failed. */
  readonly failure?: string | undefined;
}

/** A piece of work that is under way, as a trace shows it. */
export interface Span {
  /** What goes out with requests that belong to it. */
  readonly context: TraceContext;
  /** To be called once. `describe` is called only where somebody takes the span. */
  end(describe: () => SpanEnd): void;
}

export interface Tracer {
  /** Begins a span of ours: one that answers a request, or one that sends one. Without a parent a trace begins. */
  start(name: string, kind: "server" | "client", parent: TraceContext | undefined): Span;
  /** Sends what has ended, for a few seconds at most. */
  stop(): Promise<void>;
}

/** Spans that nobody takes: they pass the trace on, as it came, under ids of their own. */
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
