import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import type { Violation } from "../../intake/intake-error.ts";
import { checkHeaders } from "../../intake/manifest/field-rules.ts";
import { mapOf } from "../../intake/manifest/manifest-schema.ts";
import type { BulkOperation } from "../../jobs/stores/dead-letter-changes.ts";
import type { DeadLetterFilter, DeadLetterReads } from "../../jobs/stores/dead-letter-reads.ts";
import { HEADER_VALUE_BYTES_MAX, REQUEST_HEADERS_MAX } from "../../net/request-header.ts";
import { type BulkOperationRunner, findAll, isIds } from "../../operations/bulk-operation-runner.ts";
import { type DeadLetterChange, HeadersError } from "../../operations/dead-letter-change.ts";
import { json } from "../http/json-response.ts";
import { readParameters } from "../http/parameters.ts";
import { PREFER, preferenceOf, WAIT_SECONDS, WAIT_SECONDS_MAX } from "../http/preference.ts";
import { invalidBody, readRequestJson } from "../http/request-json.ts";
import { GIVE_UP_EXAMPLE, OPERATION_EXAMPLE, REPLAY_EXAMPLE } from "../openapi/schema-examples.ts";
import { OperationSchema } from "../openapi/schemas.ts";
import { DEAD_LETTER_FILTER, filterOf } from "./dead-letter-endpoints.ts";
import type { Call, Endpoint } from "./endpoint.ts";
import { filterText, operationRow } from "./operation-row.ts";

const IDS_MAX = 1000;

const FILTER = Type.Object(
  Object.fromEntries(
    Object.entries(DEAD_LETTER_FILTER).map(([name, { schema, description }]) => [
      name,
      Type.Optional(Type.String({ description, ...("format" in schema && { examples: ["2026-11-23T00:00:00Z"] }) })),
    ]),
  ),
  {
    additionalProperties: false,
    description: "Dead letters by filter, as in the list of dead letters; `{}` matches all. Either this or `task_ids`.",
  },
);

const SELECTION = {
  task_ids: Type.Optional(
    Type.Array(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }), {
      minItems: 1,
      maxItems: IDS_MAX,
      description: `Dead letters by the ids of their tasks, 1 to ${IDS_MAX}. Either this or \`filter\`.`,
    }),
  ),
  filter: Type.Optional(FILTER),
  dry_run: Type.Optional(
    Type.Boolean({
      default: false,
      description: "True: only check the request and count the matches; change nothing.",
    }),
  ),
};

export const ReplayRequestSchema = Type.Object(
  {
    ...SELECTION,
    rate_per_second: Type.Optional(
      Type.Number({
        minimum: 0.001,
        maximum: 1_000_000,
        description: "Number of tasks that become due per second, 0.001 to 1000000. Default: all become due at once.",
      }),
    ),
    overrides: Type.Optional(
      Type.Object(
        {
          headers: Type.Optional(
            mapOf(Type.String(), {
              description:
                "Request headers that are added to those of the task, or replace them: at most " +
                `${REQUEST_HEADERS_MAX}, with values of at most ${HEADER_VALUE_BYTES_MAX} bytes.`,
            }),
          ),
          proxy_pool: Type.Optional(
            Type.String({
              description: "Configured proxy pool to use instead of the task's.",
              examples: ["residential-us"],
            }),
          ),
        },
        { additionalProperties: false, description: "Changes to the tasks before they are tried again." },
      ),
    ),
  },
  {
    additionalProperties: false,
    description: "Selects the dead letters to try again. Exactly one of `task_ids` and `filter`.",
  },
);

export const GiveUpRequestSchema = Type.Object(SELECTION, {
  additionalProperties: false,
  description: "Selects the dead letters to discard. Exactly one of `task_ids` and `filter`.",
});

const MATCHED = Type.Integer({ minimum: 0, description: "Number of dead letters that match the request." });
const REPLAYED = Type.Integer({ minimum: 0, description: "Number of dead letters replayed so far; 0 for a dry run." });
const GIVEN_UP = Type.Integer({ minimum: 0, description: "Number of dead letters discarded so far; 0 for a dry run." });
const STILL_RUNNING = "The operation that continues in the background; absent if it is complete.";
const operation = Type.Optional(
  Type.Object(OperationSchema.properties, { ...OperationSchema, description: STILL_RUNNING }),
);

export const ReplayedSchema = Type.Object(
  { matched: MATCHED, replayed: REPLAYED, operation },
  { additionalProperties: false, description: "The result of a replay." },
);
export const GivenUpSchema = Type.Object(
  { matched: MATCHED, given_up: GIVEN_UP, operation },
  { additionalProperties: false, description: "The result of a discard." },
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
  return [replayEndpoint(deps), discardEndpoint(deps)];
}

const IN_BACKGROUND =
  "Dead letters by filter are processed in the background, and processing continues after a restart. The answer is " +
  `200 if it completes within ${WAIT_SECONDS} seconds, else 202 with the operation to follow. \`Prefer\` changes ` +
  "that time. An interrupted request can be repeated safely: no dead letter is processed twice.";
const ERRORS = ["INVALID_PAYLOAD", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", "DISK_FULL"] as const;
const LOCATION = { Location: "Path of the operation." };

function replayEndpoint(deps: DeadLetterChangeEndpointsDeps): Endpoint {
  return {
    method: "POST",
    path: "/operators/dlq/replay",
    access: "operator",
    doc: {
      tag: "Dead letters",
      summary: "Try dead letters again",
      description:
        "Queues the tasks again. They are no longer dead letters, and their jobs return to `in_progress`. Their " +
        `attempts start again from 0, and their history stays. ${IN_BACKGROUND}`,
      headers: PREFER,
      body: { schema: "ReplayRequest", example: REPLAY_EXAMPLE },
      answers: {
        200: { description: "The replay is complete.", schema: "Replayed", example: { matched: 2, replayed: 2 } },
        202: {
          description: "The replay continues in the background.",
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
      const selection = selectionOf(body, overrideViolations(overrides, deps.pools));
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

function discardEndpoint(deps: DeadLetterChangeEndpointsDeps): Endpoint {
  return {
    method: "POST",
    path: "/operators/dlq/give-up",
    access: "operator",
    doc: {
      tag: "Dead letters",
      summary: "Discard dead letters",
      description: `Their tasks stay failed and cannot be replayed any more. ${IN_BACKGROUND}`,
      headers: PREFER,
      body: { schema: "GiveUpRequest", example: GIVE_UP_EXAMPLE },
      answers: {
        200: { description: "The discard is complete.", schema: "GivenUp", example: { matched: 2, given_up: 2 } },
        202: {
          description: "The discard continues in the background.",
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
  /** The operation, if it is not complete yet. */
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
    const action = change.kind === "give_up" ? "discard" : change.kind;
    if (isIds(letters)) {
      if (dryRun) return { matched: (await findAll(deadLetters, letters)).length, changed: 0 };
      const some = await operations.changeSome(letters, change);
      if (some.changed > 0) call.recordActivity({ action, target: idsText(letters), count: some.changed });
      return some;
    }
    const matched = await deadLetters.count(letters);
    if (dryRun || matched === 0) return { matched, changed: 0 };
    const { wait = WAIT_SECONDS, isAsync } = preferenceOf(call.request.headers);
    const { id } = await operations.begin(letters, change, call.caller?.name);
    call.recordActivity({ action, target: filterText(letters), count: matched });
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

/** Task ids that the activity names. */
const NAMED_MAX = 10;

function idsText(ids: readonly number[]): string {
  return `task_ids=${ids.slice(0, NAMED_MAX).join(",")}${ids.length > NAMED_MAX ? ",…" : ""}`;
}

function answered(counts: Readonly<Record<string, number>>, operation: BulkOperation | undefined): Response {
  if (operation === undefined) return json(counts);
  return json(
    { ...counts, operation: operationRow(operation) },
    { status: 202, headers: { location: `/operators/dlq/operations/${operation.id}` } },
  );
}

function overrideViolations(
  { headers, proxy_pool: pool }: NonNullable<Static<typeof ReplayRequestSchema>["overrides"]>,
  pools: ReadonlySet<string>,
): Violation[] {
  const violations: Violation[] = [];
  checkHeaders(headers ?? {}, (below, message) => violations.push({ path: `/overrides/headers${below}`, message }));
  if (pool !== undefined && !pools.has(pool)) {
    violations.push({ path: "/overrides/proxy_pool", message: "is not a configured proxy pool" });
  }
  return violations;
}

function selectionOf(
  { task_ids: taskIds, filter, dry_run: dryRun = false }: Static<typeof GiveUpRequestSchema>,
  violations: Violation[],
): Selection {
  if ((taskIds === undefined) === (filter === undefined)) {
    violations.push({ path: "", message: "must have either task_ids or filter" });
  }
  if (violations.length > 0) throw invalidBody(violations);
  return { letters: taskIds ?? readFilter(filter ?? {}), dryRun };
}

/** Applies the rules of the list's query; the paths of violations are those of the body. */
function readFilter(filter: Readonly<Record<string, unknown>>) {
  const values = Object.entries(filter).map(([name, value]): [string, string] => [name, String(value)]);
  return filterOf(readParameters(DEAD_LETTER_FILTER, new URLSearchParams(values), "/filter"));
}
