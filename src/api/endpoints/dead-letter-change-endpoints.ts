import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import type { Violation } from "../../intake/intake-error.ts";
import { checkHeaders } from "../../intake/manifest/field-rules.ts";
import { mapOf } from "../../intake/manifest/manifest-schema.ts";
import type { BulkOperation } from "../../jobs/stores/dead-letter-changes.ts";
import type { DeadLetterFilter, DeadLetterReads } from "../../jobs/stores/dead-letter-reads.ts";
import { type BulkOperationRunner, isIds } from "../../operations/bulk-operation-runner.ts";
import { type DeadLetterChange, HeadersError } from "../../operations/dead-letter-change.ts";
import { json } from "../http/json-response.ts";
import { readParameters } from "../http/parameters.ts";
import { PREFER, preferenceOf } from "../http/preference.ts";
import { invalidBody, readRequestJson } from "../http/request-json.ts";
import { GIVE_UP_EXAMPLE, OPERATION_EXAMPLE, REPLAY_EXAMPLE } from "../openapi/schema-examples.ts";
import { OperationSchema } from "../openapi/schemas.ts";
import { DEAD_LETTER_FILTER, filterOf } from "./dead-letter-endpoints.ts";
import type { Call, Endpoint } from "./endpoint.ts";
import { operationRow } from "./operation-row.ts";

const IDS_MAX = 1000;
/** An answer waits so long for what goes on in the background: most is done by then. */
const WAIT_SECONDS = 20;
const WAIT_SECONDS_MAX = 60;

const FILTER = Type.Object(
  Object.fromEntries(
    Object.entries(DEAD_LETTER_FILTER).map(([name, { schema, description }]) => [
      name,
      Type.Optional(Type.String({ description, ...("format" in schema && { examples: ["2026-11-23T00:00:00Z"] }) })),
    ]),
  ),
  { additionalProperties: false, description: "As the list's; {} is all of them." },
);

const SELECTION = {
  task_ids: Type.Optional(
    Type.Array(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }), {
      minItems: 1,
      maxItems: IDS_MAX,
      description: "Dead letters by their task ids. Either this or `filter`.",
    }),
  ),
  filter: Type.Optional(FILTER),
  dry_run: Type.Optional(Type.Boolean({ description: "Only say how many match, or what would be refused." })),
};

export const ReplayRequestSchema = Type.Object(
  {
    ...SELECTION,
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

export const GiveUpRequestSchema = Type.Object(SELECTION, {
  additionalProperties: false,
  description: "Which dead letters to give up.",
});

const MATCHED = Type.Integer({ minimum: 0, description: "Dead letters that were asked for and are there." });
const REPLAYED = Type.Integer({ minimum: 0, description: "Those that were put back to work, so far." });
const GIVEN_UP = Type.Integer({ minimum: 0, description: "Those that were given up, so far." });
const UNDER_WAY = "What goes on in the background; absent where all is done.";
const operation = Type.Optional(
  Type.Object(OperationSchema.properties, { ...OperationSchema, description: UNDER_WAY }),
);

export const ReplayedSchema = Type.Object(
  { matched: MATCHED, replayed: REPLAYED, operation },
  { additionalProperties: false, description: "What a replay came to." },
);
export const GivenUpSchema = Type.Object(
  { matched: MATCHED, given_up: GIVEN_UP, operation },
  { additionalProperties: false, description: "What giving up came to." },
);

const REPLAY = TypeCompiler.Compile(ReplayRequestSchema);
const GIVE_UP = TypeCompiler.Compile(GiveUpRequestSchema);

interface DeadLetterChangeEndpointsDeps {
  readonly operations: Pick<BulkOperationRunner, "tryOut" | "changeSome" | "begin" | "ended">;
  readonly deadLetters: Pick<DeadLetterReads, "find" | "count">;
  /** Names of the configured proxy pools. */
  readonly pools: ReadonlySet<string>;
}

/** `POST /operators/dlq/replay` and `/give-up` */
export function deadLetterChangeEndpoints(deps: DeadLetterChangeEndpointsDeps): Endpoint[] {
  return [replayEndpoint(deps), giveUpEndpoint(deps)];
}

const IN_BACKGROUND =
  `A filter's letters are dealt with in the background, also by the next process if this one ends. The answer comes ` +
  `when all is done, but after ${WAIT_SECONDS} s at the latest: then it is 202, with the operation to follow. ` +
  "`Prefer: respond-async` asks for that at once, `Prefer: wait=5` after so many seconds (RFC 7240). A request that was " +
  "cut off can be repeated: nothing is done twice.";
const ERRORS = ["INVALID_PAYLOAD", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", "DISK_FULL"] as const;
const LOCATION = { Location: "Where the operation is followed." };

function replayEndpoint(deps: DeadLetterChangeEndpointsDeps): Endpoint {
  return {
    method: "POST",
    path: "/operators/dlq/replay",
    access: "operator",
    doc: {
      tag: "Dead letters",
      summary: "Try dead letters again",
      description:
        "Each leaves the dead letters, and its job goes back to `in_progress`. Attempts count anew; their history " +
        `stays. ${IN_BACKGROUND}`,
      headers: PREFER,
      body: { schema: "ReplayRequest", example: REPLAY_EXAMPLE },
      answers: {
        200: { description: "What was done.", schema: "Replayed", example: { matched: 2, replayed: 2 } },
        202: {
          description: "What was done so far; it goes on.",
          schema: "Replayed",
          headers: LOCATION,
          example: { matched: 2_000_000, replayed: 182_400, operation: OPERATION_EXAMPLE },
        },
      },
      errors: ERRORS,
    },
    answer: async (call) => {
      const body = await readRequestJson(call.request, REPLAY);
      const { overrides = {}, rate_per_second: ratePerSecond } = body;
      const selection = selectionOf(body, overrideBreaches(overrides, deps.pools));
      const change = {
        kind: "replay",
        ratePerSecond,
        overrides: { headers: overrides.headers, proxyPool: overrides.proxy_pool },
      } as const;
      const { matched, changed, operation } = await carryOut(selection, change, call, deps);
      return answered({ matched, replayed: changed }, operation);
    },
  };
}

function giveUpEndpoint(deps: DeadLetterChangeEndpointsDeps): Endpoint {
  return {
    method: "POST",
    path: "/operators/dlq/give-up",
    access: "operator",
    doc: {
      tag: "Dead letters",
      summary: "Give dead letters up",
      description: `Their tasks stay failed, and can not be replayed any more. ${IN_BACKGROUND}`,
      headers: PREFER,
      body: { schema: "GiveUpRequest", example: GIVE_UP_EXAMPLE },
      answers: {
        200: { description: "What was done.", schema: "GivenUp", example: { matched: 2, given_up: 2 } },
        202: {
          description: "What was done so far; it goes on.",
          schema: "GivenUp",
          headers: LOCATION,
          example: {
            matched: 2_000_000,
            given_up: 182_400,
            operation: { ...OPERATION_EXAMPLE, kind: "give_up", rate_per_second: null },
          },
        },
      },
      errors: ERRORS,
    },
    answer: async (call) => {
      const selection = selectionOf(await readRequestJson(call.request, GIVE_UP), []);
      const change = { kind: "give_up", ratePerSecond: undefined, overrides: {} } as const;
      const { matched, changed, operation } = await carryOut(selection, change, call, deps);
      return answered({ matched, given_up: changed }, operation);
    },
  };
}

interface Selection {
  readonly letters: readonly number[] | DeadLetterFilter;
  readonly dryRun: boolean;
}

interface CarriedOut {
  readonly matched: number;
  readonly changed: number;
  /** What is not done yet. */
  readonly operation?: BulkOperation | undefined;
}

async function carryOut(
  { letters, dryRun }: Selection,
  change: DeadLetterChange,
  call: Call,
  { operations, deadLetters }: DeadLetterChangeEndpointsDeps,
): Promise<CarriedOut> {
  try {
    if (dryRun) await operations.tryOut(letters, change);
    if (isIds(letters)) {
      if (!dryRun) return await operations.changeSome(letters, change);
      return { matched: new Set(letters.filter((id) => deadLetters.find(id) !== undefined)).size, changed: 0 };
    }
    const matched = deadLetters.count(letters);
    if (dryRun || matched === 0) return { matched, changed: 0 };
    const { wait = WAIT_SECONDS, isAsync } = preferenceOf(call.request.headers);
    const { id } = await operations.begin(letters, change);
    const waitSeconds = isAsync ? 0 : Math.min(wait, WAIT_SECONDS_MAX);
    const operation = await operations.ended(id, waitSeconds * 1000);
    if (operation?.state === "failed") throw new HeadersError(operation.error ?? "");
    if (operation?.state === "running") return { matched, changed: operation.changed, operation };
    return { matched, changed: operation?.changed ?? 0 };
  } catch (error) {
    if (!(error instanceof HeadersError)) throw error;
    throw invalidBody([{ path: "/overrides/headers", message: error.message }]);
  }
}

function answered(counts: Readonly<Record<string, number>>, operation: BulkOperation | undefined): Response {
  if (operation === undefined) return json(counts);
  return json(
    { ...counts, operation: operationRow(operation) },
    { status: 202, headers: { location: `/operators/dlq/operations/${operation.id}` } },
  );
}

function overrideBreaches(
  { headers, proxy_pool: pool }: NonNullable<Static<typeof ReplayRequestSchema>["overrides"]>,
  pools: ReadonlySet<string>,
): Violation[] {
  const breaches: Violation[] = [];
  checkHeaders(headers ?? {}, (below, message) => breaches.push({ path: `/overrides/headers${below}`, message }));
  if (pool !== undefined && !pools.has(pool)) {
    breaches.push({ path: "/overrides/proxy_pool", message: "is not a configured proxy pool" });
  }
  return breaches;
}

function selectionOf(
  { task_ids: taskIds, filter, dry_run: dryRun = false }: Static<typeof GiveUpRequestSchema>,
  breaches: Violation[],
): Selection {
  if ((taskIds === undefined) === (filter === undefined)) {
    breaches.push({ path: "", message: "must have either task_ids or filter" });
  }
  if (breaches.length > 0) throw invalidBody(breaches);
  return { letters: taskIds ?? readFilter(filter ?? {}), dryRun };
}

/** The same rules as in the list's query, told with the body's paths. */
function readFilter(filter: Readonly<Record<string, unknown>>) {
  const values = Object.entries(filter).map(([name, value]): [string, string] => [name, String(value)]);
  return filterOf(readParameters(DEAD_LETTER_FILTER, new URLSearchParams(values), "/filter"));
}
