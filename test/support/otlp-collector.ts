import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { eventually } from "./eventually.ts";

const AttributeSchema = Type.Object({
  key: Type.String(),
  value: Type.Object({ stringValue: Type.Optional(Type.String()), intValue: Type.Optional(Type.Number()) }),
});
const SpanSchema = Type.Object({
  traceId: Type.RegExp(/^[0-9a-f]{32}$/),
  spanId: Type.RegExp(/^[0-9a-f]{16}$/),
  parentSpanId: Type.Optional(Type.RegExp(/^[0-9a-f]{16}$/)),
  name: Type.String(),
  kind: Type.Integer(),
  startTimeUnixNano: Type.RegExp(/^[0-9]+$/),
  endTimeUnixNano: Type.RegExp(/^[0-9]+$/),
  attributes: Type.Array(AttributeSchema),
  status: Type.Object({ code: Type.Integer(), message: Type.Optional(Type.String()) }),
});
/** @see https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto */
const ExportSchema = Type.Object({
  resourceSpans: Type.Array(
    Type.Object({
      resource: Type.Object({ attributes: Type.Array(AttributeSchema) }),
      scopeSpans: Type.Array(Type.Object({ spans: Type.Array(SpanSchema) })),
    }),
  ),
});

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parent: string | undefined;
  readonly name: string;
  /** 2: server, 3: client. */
  readonly kind: number;
  readonly ms: number;
  readonly attributes: Readonly<Record<string, string | number | undefined>>;
  readonly service: string | number | undefined;
  readonly failure: string | undefined;
}

/** Takes spans as a collector does: OTLP, JSON over HTTP. */
export class OtlpCollector implements AsyncDisposable {
  readonly spans: ReceivedSpan[] = [];
  readonly requests: { readonly path: string; readonly headers: Headers }[] = [];
  /** Everything as it came. */
  text = "";
  readonly #server: ReturnType<typeof Bun.serve>;

  constructor() {
    this.#server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: async (request) => {
        this.requests.push({ path: new URL(request.url).pathname, headers: request.headers });
        const text = await request.text();
        this.text += text;
        const { resourceSpans } = Value.Decode(ExportSchema, JSON.parse(text));
        for (const { resource, scopeSpans } of resourceSpans) {
          const service = attributesOf(resource.attributes)["service.name"];
          for (const { spans } of scopeSpans) for (const span of spans) this.#take(span, service);
        }
        return Response.json({});
      },
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  received(what: string, count: number): Promise<readonly ReceivedSpan[]> {
    return eventually(what, () => Promise.resolve(this.spans.length >= count ? this.spans : undefined));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }

  #take(span: (typeof SpanSchema)["static"], service: string | number | undefined): void {
    this.spans.push({
      traceId: span.traceId,
      spanId: span.spanId,
      parent: span.parentSpanId,
      name: span.name,
      kind: span.kind,
      ms: Number((BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1_000_000n),
      attributes: attributesOf(span.attributes),
      service,
      failure: span.status.code === 2 ? span.status.message : undefined,
    });
  }
}

function attributesOf(attributes: readonly (typeof AttributeSchema)["static"][]) {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue]));
}
