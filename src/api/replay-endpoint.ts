import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { checkHeaders } from "../intake/field-rules.ts";
import type { Breach } from "../intake/intake-error.ts";
import { mapOf } from "../intake/manifest-schema.ts";
import { HeadersError, type Replayed, type ReplayRequest } from "../maintenance/replay.ts";
import { DEAD_LETTER_FILTER, filterOf } from "./dead-letter-endpoints.ts";
import type { Endpoint } from "./endpoint.ts";
import { REPLAY_EXAMPLE } from "./examples.ts";
import { json } from "./json-response.ts";
import { readParameters } from "./parameters.ts";
import { invalidBody, readRequestJson } from "./request-json.ts";

const IDS_MAX = 1000;

const FILTER = Type.Object(
  Object.fromEntries(
    Object.entries(DEAD_LETTER_FILTER).map(([name, { schema, description }]) => [
      name,
      Type.Optional(Type.String({ description, ...("format" in schema && { examples: ["2026-11-23T00:00:00Z"] }) })),
    ]),
  ),
  { additionalProperties: false, description: "As the list's; {} is all of them." },
);

export const ReplayRequestSchema = Type.Object(
  {
    task_ids: Type.Optional(
      Type.Array(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }), {
        minItems: 1,
        maxItems: IDS_MAX,
        description: "Dead letters by their task ids. Either this or `filter`.",
      }),
    ),
    filter: Type.Optional(FILTER),
    dry_run: Type.Optional(Type.Boolean({ description: "Only say how many match." })),
    rate_per_second: Type.Optional(
      Type.Number({ minimum: 0.001, maximum: 1_000_000, description: "Tasks that become due per second." }),
    ),
    overrides: Type.Optional(
      Type.Object(
        {
          headers: Type.Optional(mapOf(Type.String(), { description: "Request headers, added or replaced." })),
          proxy_pool: Type.Optional(Type.String({ description: "A configured proxy pool." })),
        },
        { additionalProperties: false, description: "What is to be otherwise this time." },
      ),
    ),
  },
  { additionalProperties: false, description: "Which dead letters to try again, and how." },
);

export const ReplayedSchema = Type.Object(
  {
    matched: Type.Integer({ minimum: 0, description: "Dead letters that were asked for and are there." }),
    replayed: Type.Integer({ minimum: 0, description: "Those that were put back to work." }),
  },
  { additionalProperties: false, description: "What a replay came to." },
);

const SHAPE = TypeCompiler.Compile(ReplayRequestSchema);

export interface ReplayEndpointDeps {
  readonly replay: (request: ReplayRequest) => Promise<Replayed>;
  /** Names of the configured proxy pools. */
  readonly pools: ReadonlySet<string>;
}

/** `POST /operators/dlq/replay` */
export function replayEndpoint({ replay, pools }: ReplayEndpointDeps): Endpoint {
  return {
    method: "POST",
    path: "/operators/dlq/replay",
    access: "operator",
    doc: {
      tag: "Dead letters",
      summary: "Try dead letters again",
      description:
        "Each leaves the dead letters, and its job goes back to `in_progress`. Attempts count anew; their history " +
        "stays. A request that was cut off can be repeated: nothing is replayed twice.",
      body: { schema: "ReplayRequest", example: REPLAY_EXAMPLE },
      answers: {
        200: { description: "What was done.", schema: "Replayed", example: { matched: 2, replayed: 2 } },
      },
      errors: ["INVALID_PAYLOAD", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", "DISK_FULL"],
    },
    answer: async ({ request }) => {
      const asked = replayRequestOf(await readRequestJson(request, SHAPE), pools);
      try {
        const { matched, replayed } = await replay(asked);
        return json({ matched, replayed });
      } catch (error) {
        if (!(error instanceof HeadersError)) throw error;
        throw invalidBody([{ path: "/overrides/headers", message: error.message }]);
      }
    },
  };
}

function replayRequestOf(body: Static<typeof ReplayRequestSchema>, pools: ReadonlySet<string>): ReplayRequest {
  const { task_ids: taskIds, filter, overrides = {} } = body;
  const breaches: Breach[] = [];
  checkHeaders(overrides.headers ?? {}, (below, message) =>
    breaches.push({ path: `/overrides/headers${below}`, message }),
  );
  if (overrides.proxy_pool !== undefined && !pools.has(overrides.proxy_pool)) {
    breaches.push({ path: "/overrides/proxy_pool", message: "is not a configured proxy pool" });
  }
  if ((taskIds === undefined) === (filter === undefined)) {
    breaches.push({ path: "", message: "must have either task_ids or filter" });
  }
  if (breaches.length > 0) throw invalidBody(breaches);
  return {
    selection: taskIds === undefined ? { filter: readFilter(filter ?? {}) } : { taskIds },
    dryRun: body.dry_run ?? false,
    ratePerSecond: body.rate_per_second,
    overrides: { headers: overrides.headers, proxyPool: overrides.proxy_pool },
  };
}

/** The same rules as in the list's query, told with the body's paths. */
function readFilter(filter: Readonly<Record<string, unknown>>) {
  const values = Object.entries(filter).map(([name, value]): [string, string] => [name, String(value)]);
  return filterOf(readParameters(DEAD_LETTER_FILTER, new URLSearchParams(values), "/filter"));
}
