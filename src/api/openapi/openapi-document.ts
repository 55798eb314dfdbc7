import { swagger } from "@elysiajs/swagger";
import { type DocumentDecoration, Elysia } from "elysia";
import { ManifestSchema } from "../../intake/manifest/manifest-schema.ts";
import { ActivityListSchema } from "../console/activity-endpoint.ts";
import { ConfigListSchema } from "../console/config-endpoint.ts";
import {
  GivenUpSchema,
  GiveUpRequestSchema,
  ReplayedSchema,
  ReplayRequestSchema,
} from "../endpoints/dead-letter-change-endpoints.ts";
import type { AnswerDoc, Endpoint, EndpointDoc } from "../endpoints/endpoint.ts";
import { CancelledSchema, CancelRequestSchema } from "../endpoints/jobs/cancel-jobs-endpoint.ts";
import { rolesFor } from "../http/access.ts";
import { ERRORS, type ErrorCode } from "../http/errors.ts";
import type { Parameter, Parameters } from "../http/parameters.ts";
import { SESSION_COOKIE } from "../sign-in/session-cookie.ts";
import * as session from "../sign-in/session-endpoints.ts";
import * as overview from "./overview-schemas.ts";
import * as schemas from "./schemas.ts";
import * as service from "./service-schemas.ts";
import * as traffic from "./traffic-schemas.ts";

/** The schemas of the document by name. TypeBox marks them with symbols, which JSON drops. */
export const COMPONENTS = {
  Manifest: ManifestSchema,
  Error: schemas.ErrorSchema,
  Accepted: schemas.AcceptedSchema,
  Job: schemas.JobSchema,
  StoredManifest: schemas.StoredManifestSchema,
  JobList: schemas.JobListSchema,
  ResourceList: schemas.ResourceListSchema,
  LogPage: schemas.LogPageSchema,
  DeadLetterList: schemas.DeadLetterListSchema,
  DeadLetterDetail: schemas.DeadLetterDetailSchema,
  Analysis: schemas.AnalysisSchema,
  ReplayRequest: ReplayRequestSchema,
  Replayed: ReplayedSchema,
  GiveUpRequest: GiveUpRequestSchema,
  GivenUp: GivenUpSchema,
  Operation: schemas.OperationSchema,
  OperationList: schemas.OperationListSchema,
  CancelRequest: CancelRequestSchema,
  Cancelled: CancelledSchema,
  JobCounts: overview.JobCountsSchema,
  Overview: overview.OverviewSchema,
  Rates: overview.RatesSchema,
  Queue: service.QueueSchema,
  DownloadList: traffic.DownloadListSchema,
  HostList: traffic.HostListSchema,
  HostDetail: traffic.HostDetailSchema,
  Health: service.HealthSchema,
  Alive: service.AliveSchema,
  Ready: service.ReadySchema,
  OpenApi: service.OpenApiSchema,
  SessionState: session.SessionStateSchema,
  SignInRequest: session.SignInRequestSchema,
  SignedIn: session.SignedInSchema,
  ActivityList: ActivityListSchema,
  ConfigList: ConfigListSchema,
};

/** The OpenAPI document of the endpoints that have a `doc`. */
export async function openApiDocument(endpoints: readonly Endpoint[], version: string): Promise<object> {
  const path = "/document";
  // A temporary application: only the plugin's document is used, because its page loads scripts from other hosts.
  const app = new Elysia().use(
    swagger({ path: "/page", specPath: path, excludeStaticFile: false, documentation: documentation(version) }),
  );
  for (const endpoint of endpoints) {
    if (endpoint.doc === undefined) continue;
    // Converted through JSON, because the plugin's types are those of OpenAPI 3.0.
    const detail: DocumentDecoration = JSON.parse(JSON.stringify(operation(endpoint, endpoint.doc)));
    app.route(endpoint.method, endpoint.path, () => "", { detail });
  }
  const response = await app.handle(new Request(`http://localhost${path}`));
  const document: object = JSON.parse(await response.text());
  // The plugin writes 3.0.3, but the schemas are those of 3.1: null is a type, examples are a list.
  return { ...document, openapi: "3.1.0" };
}

function documentation(version: string) {
  return {
    info: {
      title: "FetchBox",
      version,
      description: INTRODUCTION,
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/", description: "This service." }],
    tags: [
      { name: "Jobs", description: "Submit jobs and follow them." },
      { name: "Dead letters", description: "Inspect tasks that failed permanently; replay or discard them." },
      { name: "Queue", description: "Inspect, pause and resume the queue." },
      { name: "Service", description: "Health, metrics and this document." },
    ],
    components: {
      schemas: JSON.parse(JSON.stringify(COMPONENTS)),
      securitySchemes: {
        session: {
          type: "apiKey" as const,
          in: "cookie",
          name: SESSION_COOKIE,
          description:
            "The cookie that `POST /operators/session` sets. With an https `server.public_url` its name begins with " +
            "`__Host-`. Requests for changes must come from the service's own page.",
        },
        token: {
          type: "http" as const,
          scheme: "bearer",
          description:
            "A token of `server.auth.tokens`. The role `submit` allows to submit jobs and to read them, `read` allows every " +
            "`GET`, and `operator` allows everything. A service without tokens needs none.",
        },
      },
    },
  };
}

const INTRODUCTION =
  "FetchBox downloads the URLs of a manifest and stores each as an object, on local disk or in S3.\n\n" +
  "`POST /jobs` submits a manifest as a job. The job's handler makes one task of each resource, or several. A task that " +
  "fails permanently becomes a dead letter, which an operator can replay or discard.\n\n" +
  "All errors have the shape `Error`: programs decide by its `code`. Times are RFC 3339 in UTC. Lists return pages: pass " +
  "`next_cursor` as `cursor` for the next one. Bodies refuse unknown fields, and paths below `/operators` refuse " +
  "unknown parameters. Send `X-Request-Id`, at most 128 visible ASCII characters, to choose the id of a request in its " +
  "answer and in the log.";

function operation(endpoint: Endpoint, doc: EndpointDoc) {
  return {
    tags: [doc.tag],
    operationId: operationId(endpoint),
    summary: doc.summary,
    description: [...(doc.description === undefined ? [] : [doc.description]), accessText(endpoint)].join("\n\n"),
    parameters: [
      ...pathParameters(endpoint.path),
      ...describe("query", endpoint.query ?? {}),
      ...describe("header", doc.headers ?? {}),
    ],
    ...(doc.body !== undefined && {
      requestBody: {
        required: true,
        content: { "application/json": { schema: reference(doc.body.schema), example: doc.body.example } },
      },
    }),
    responses: { ...errorAnswers(endpoint, doc), ...goodAnswers(doc) },
    // The empty requirement: a service without tokens is open to everyone.
    security: endpoint.access === "open" ? [] : [{ token: [] }, { session: [] }, {}],
  };
}

function accessText({ access }: Endpoint): string {
  if (access === "open" || access === "session") return "Access: open to everyone, without a token.";
  return `Access: a token of the role ${rolesFor(access)
    .map((role) => `\`${role}\``)
    .join(" or ")}.`;
}

function operationId({ method, path }: Endpoint): string {
  const words = path.split("/").map((part) => part.replace(/^:/, "by_"));
  return [method.toLowerCase(), ...words.filter((word) => word !== "")].join("_");
}

const PATH_PARAMETERS: Readonly<Record<string, { description: string; example: string | number }>> = {
  job_id: { description: "Id of the job, a UUIDv7.", example: "019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00" },
  task_id: { description: "Id of the task, a sequential number.", example: 1 },
  operation_id: { description: "Id of the operation, a sequential number.", example: 7 },
  host: {
    description: "Name or address of the host, with the port unless it is the default of the scheme.",
    example: "cdn.example.com",
  },
};

function pathParameters(path: string) {
  return path
    .split("/")
    .filter((part) => part.startsWith(":"))
    .map((part) => {
      const name = part.slice(1);
      const schema = { type: typeof PATH_PARAMETERS[name]?.example === "number" ? "integer" : "string" };
      return { name, in: "path", required: true, schema, ...PATH_PARAMETERS[name] };
    });
}

/** Examples are part of the description, because Swagger UI would send an `example` as a value. */
function describe(place: "query" | "header", parameters: Parameters) {
  return Object.entries(parameters).map(([name, parameter]) => ({
    name,
    in: place,
    required: false,
    description: [parameter.description, ...exampleText(parameter)].join(" "),
    schema: parameter.schema,
  }));
}

function exampleText({ schema, description, example }: Parameter<unknown>): string[] {
  const isKnown = example === undefined || "default" in schema || description.includes(`\`${example}\``);
  return isKnown ? [] : [`Example: \`${example}\`.`];
}

function goodAnswers({ answers }: EndpointDoc) {
  return Object.fromEntries(Object.entries(answers).map(([status, answer]) => [status, answerOf(answer)]));
}

function answerOf(answer: AnswerDoc) {
  const { description, schema, contentType = "application/json", example, streams = {}, headers, empty } = answer;
  if (empty === true) return { description };
  return {
    description,
    ...(headers !== undefined && { headers: headersOf(headers) }),
    content: {
      [contentType]: {
        schema: schema === undefined ? { type: "string" } : reference(schema),
        ...(example !== undefined && { example }),
      },
      ...Object.fromEntries(
        Object.entries(streams).map(([type, text]) => [type, { schema: { type: "string" }, example: text }]),
      ),
    },
  };
}

const RETRY_STATUSES: ReadonlySet<number> = new Set([429, 503]);
const RETRY_AFTER = { "Retry-After": "Seconds to wait before the next try." };

function headersOf(headers: Readonly<Record<string, string>>) {
  return Object.fromEntries(
    Object.entries(headers).map(([name, description]) => [name, { description, schema: { type: "string" } }]),
  );
}

/** One answer per status, with all its error codes. */
function errorAnswers({ access, method, query }: Endpoint, { errors = [] }: EndpointDoc) {
  const codes: ErrorCode[] = [...errors, "INTERNAL_ERROR"];
  if (query !== undefined) codes.push("INVALID_PAYLOAD");
  if (access !== "open") codes.push("UNAUTHORIZED", "FORBIDDEN", "RATE_LIMITED");
  // During the start.
  if (method !== "GET" && !codes.includes("STORAGE_UNAVAILABLE")) codes.push("STORAGE_UNAVAILABLE");
  const answers: Record<string, object> = {};
  for (const [status, group] of Map.groupBy(new Set(codes), (code) => ERRORS[code].status)) {
    const description = group.map((code) => `\`${code}\`: ${ERRORS[code].message}.`).join(" ");
    const examples = Object.fromEntries(group.map((code) => [code, { value: errorExample(code) }]));
    const headers = RETRY_STATUSES.has(status) ? { headers: headersOf(RETRY_AFTER) } : {};
    answers[status] = {
      description,
      ...headers,
      content: { "application/json": { schema: reference("Error"), examples } },
    };
  }
  return answers;
}

function errorExample(code: ErrorCode) {
  const details =
    code === "INVALID_PAYLOAD" ? [{ path: "/query/limit", message: "must be a whole number between 1 and 1000" }] : [];
  return { code, message: ERRORS[code].message, request_id: "019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f01", details };
}

function reference(schema: string) {
  return { $ref: `#/components/schemas/${schema}` };
}
