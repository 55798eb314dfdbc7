import { swagger } from "@elysiajs/swagger";
import { type DocumentDecoration, Elysia } from "elysia";
import { ManifestSchema } from "../../intake/manifest/manifest-schema.ts";
import {
  GivenUpSchema,
  GiveUpRequestSchema,
  ReplayedSchema,
  ReplayRequestSchema,
} from "../endpoints/dead-letter-change-endpoints.ts";
import type { AnswerDoc, Endpoint, EndpointDoc } from "../endpoints/endpoint.ts";
import { ERRORS, type ErrorCode } from "../http/errors.ts";
import type { Parameters } from "../http/parameters.ts";
import * as schemas from "./schemas.ts";

/** The schemas that the document names. TypeBox marks them with symbols; JSON drops those. */
export const COMPONENTS = {
  Manifest: ManifestSchema,
  Error: schemas.ErrorSchema,
  Accepted: schemas.AcceptedSchema,
  Job: schemas.JobSchema,
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
  Queue: schemas.QueueSchema,
  Health: schemas.HealthSchema,
  Alive: schemas.AliveSchema,
  Ready: schemas.ReadySchema,
  OpenApi: schemas.OpenApiSchema,
};

/** The OpenAPI document of the endpoints that have a `doc`. */
export async function openApiDocument(endpoints: readonly Endpoint[], version: string): Promise<object> {
  const path = "/document";
  // A throwaway application: of the plugin we want the document, not the page, which loads from elsewhere.
  const app = new Elysia().use(
    swagger({ path: "/page", specPath: path, excludeStaticFile: false, documentation: documentation(version) }),
  );
  for (const endpoint of endpoints) {
    if (endpoint.doc === undefined) continue;
    // By way of JSON, because the plugin's types are those of OpenAPI 3.0.
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
      description: "Takes manifests of URLs, downloads them and stores them as verified objects.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/", description: "This service" }],
    tags: [
      { name: "Jobs", description: "Submitting jobs and following them." },
      { name: "Dead letters", description: "Tasks that failed for good." },
      { name: "Queue", description: "What waits, and holding it up." },
      { name: "Service", description: "How the service does." },
    ],
    components: {
      schemas: JSON.parse(JSON.stringify(COMPONENTS)),
      securitySchemes: {
        token: {
          type: "http" as const,
          scheme: "bearer",
          description:
            "A token of `server.auth.tokens`. The role `submit` may submit and read jobs, `read` read all, `operator` all.",
        },
      },
    },
  };
}

function operation(endpoint: Endpoint, doc: EndpointDoc) {
  return {
    tags: [doc.tag],
    operationId: operationId(endpoint),
    summary: doc.summary,
    ...(doc.description !== undefined && { description: doc.description }),
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
    // The empty requirement: a service without tokens takes everybody.
    security: endpoint.access === "open" ? [] : [{ token: [] }, {}],
  };
}

function operationId({ method, path }: Endpoint): string {
  const words = path.split("/").map((part) => part.replace(/^:/, "by_"));
  return [method.toLowerCase(), ...words.filter((word) => word !== "")].join("_");
}

const PATH_PARAMETERS: Readonly<Record<string, { description: string; example: string | number }>> = {
  job_id: { description: "The job.", example: "019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00" },
  task_id: { description: "Sequential id of the task.", example: 1 },
  operation_id: { description: "Number of the operation.", example: 7 },
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

/** Examples stand in the description: Swagger UI would send them where nobody has asked for that. */
function describe(place: "query" | "header", parameters: Parameters) {
  return Object.entries(parameters).map(([name, { schema, description, example }]) => ({
    name,
    in: place,
    required: false,
    description: example === undefined || "default" in schema ? description : `${description} Like \`${example}\`.`,
    schema,
  }));
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
const RETRY_AFTER = { "Retry-After": "Seconds after which to come again." };

function headersOf(headers: Readonly<Record<string, string>>) {
  return Object.fromEntries(
    Object.entries(headers).map(([name, description]) => [name, { description, schema: { type: "string" } }]),
  );
}

/** One answer per status, with every code that it can have. */
function errorAnswers({ access, method, query }: Endpoint, { errors = [] }: EndpointDoc) {
  // A service on loopback without tokens refuses whoever calls it by another name.
  const codes: ErrorCode[] = [...errors, "INTERNAL_ERROR", "FORBIDDEN"];
  if (query !== undefined) codes.push("INVALID_PAYLOAD");
  if (access !== "open") codes.push("UNAUTHORIZED", "RATE_LIMITED");
  // While it starts.
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
  const details = code === "INVALID_PAYLOAD" ? [{ path: "/query/limit", message: "must be a whole number" }] : [];
  return { code, message: ERRORS[code].message, request_id: "019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f01", details };
}

function reference(schema: string) {
  return { $ref: `#/components/schemas/${schema}` };
}
