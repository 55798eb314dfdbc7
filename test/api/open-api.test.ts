import { expect, test } from "bun:test";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { COMPONENTS } from "../../src/api/openapi/openapi-document.ts";
import { startTestApi, type TestApi } from "./running-api.ts";

const Content = Type.Record(
  Type.String(),
  Type.Object({
    schema: Type.Object({ $ref: Type.Optional(Type.String()), type: Type.Optional(Type.String()) }),
    example: Type.Optional(Type.Unknown()),
    examples: Type.Optional(Type.Record(Type.String(), Type.Object({ value: Type.Unknown() }))),
  }),
);
const Operation = Type.Object({
  operationId: Type.String({ minLength: 1 }),
  summary: Type.String({ minLength: 1 }),
  tags: Type.Array(Type.String(), { minItems: 1 }),
  security: Type.Array(Type.Object({})),
  parameters: Type.Array(
    Type.Object({
      name: Type.String(),
      in: Type.String(),
      required: Type.Boolean(),
      description: Type.String({ minLength: 1 }),
      schema: Type.Object({}),
    }),
  ),
  requestBody: Type.Optional(Type.Object({ content: Content })),
  responses: Type.Record(
    Type.String(),
    Type.Object({ description: Type.String({ minLength: 1 }), content: Type.Optional(Content) }),
  ),
});
const Document = Type.Object({
  openapi: Type.Literal("3.1.0"),
  info: Type.Object({ title: Type.Literal("FetchBox"), version: Type.Literal("1.2.3") }),
  paths: Type.Record(Type.String(), Type.Record(Type.String(), Operation)),
  components: Type.Object({
    schemas: Type.Record(Type.String(), Type.Object({})),
    securitySchemes: Type.Object({
      token: Type.Object({ type: Type.Literal("http"), scheme: Type.Literal("bearer") }),
    }),
  }),
});

async function readDocument(api: TestApi): Promise<Static<typeof Document>> {
  const document: unknown = await (await api.fetch("/swagger/json")).json();
  Value.Assert(Document, document);
  return document;
}

function operationsOf(document: Static<typeof Document>) {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })),
  );
}

test("the document describes every endpoint and nothing else", async () => {
  await using api = await startTestApi();
  const operations = operationsOf(await readDocument(api));
  expect(operations.map(({ method, path }) => `${method} ${path}`).sort()).toEqual([
    "delete /operators/dlq/{task_id}",
    "delete /operators/session",
    "get /health/live",
    "get /health/ready",
    "get /metrics",
    "get /operators/activity",
    "get /operators/config",
    "get /operators/dlq",
    "get /operators/dlq/analysis",
    "get /operators/dlq/operations",
    "get /operators/dlq/operations/{operation_id}",
    "get /operators/dlq/{task_id}",
    "get /operators/downloads",
    "get /operators/health",
    "get /operators/hosts",
    "get /operators/hosts/{host}",
    "get /operators/jobs",
    "get /operators/jobs/counts",
    "get /operators/jobs/{job_id}",
    "get /operators/jobs/{job_id}/logs",
    "get /operators/jobs/{job_id}/manifest",
    "get /operators/jobs/{job_id}/resources",
    "get /operators/overview",
    "get /operators/queue",
    "get /operators/rates",
    "get /operators/session",
    "get /swagger",
    "get /swagger/json",
    "post /jobs",
    "post /operators/dlq/give-up",
    "post /operators/dlq/operations/{operation_id}/stop",
    "post /operators/dlq/replay",
    "post /operators/hosts/{host}/reopen",
    "post /operators/jobs/cancel",
    "post /operators/jobs/{job_id}/cancel",
    "post /operators/queue/pause",
    "post /operators/queue/resume",
    "post /operators/session",
  ]);
  expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
});

test("every reference leads to a schema, every place in a path is a parameter", async () => {
  await using api = await startTestApi();
  const document = await readDocument(api);
  const text = JSON.stringify(document);
  expect(text).not.toContain("$id");
  for (const [, name = ""] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
    expect(Object.keys(document.components.schemas)).toContain(name);
  }
  for (const { path, parameters } of operationsOf(document)) {
    const places = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name);
    expect(parameters.filter((parameter) => parameter.in === "path").map(({ name }) => name)).toEqual(places);
    expect(new Set(parameters.map((parameter) => `${parameter.in} ${parameter.name}`)).size).toBe(parameters.length);
  }
});

test("every good answer has an example, and every example is as its schema says", async () => {
  await using api = await startTestApi();
  const operations = operationsOf(await readDocument(api));
  const conform = ({ schema, example, examples }: Static<typeof Content>[string]) => {
    const component = schema.$ref?.split("/").at(-1);
    for (const value of [example, ...Object.values(examples ?? {}).map((entry) => entry.value)]) {
      if (value === undefined || component === undefined) continue;
      const found = Object.entries(COMPONENTS).find(([name]) => name === component)?.[1];
      if (found === undefined) throw new Error(`there is no ${component}`);
      expect([component, [...Value.Errors(found, value)].map((error) => error.path)]).toEqual([component, []]);
    }
  };
  for (const { path, responses, requestBody } of operations) {
    for (const [status, { content = {} }] of Object.entries(responses)) {
      if (status.startsWith("2") && status !== "204")
        expect([path, Object.values(content)[0]?.example]).not.toEqual([path, undefined]);
      Object.values(content).forEach(conform);
    }
    Object.values(requestBody?.content ?? {}).forEach(conform);
  }
});

test("every endpoint documents its errors in the one shape", async () => {
  await using api = await startTestApi();
  for (const { path, responses, security } of operationsOf(await readDocument(api))) {
    const isHealth = path === "/operators/health";
    for (const [status, { content = {} }] of Object.entries(responses)) {
      if (status < "400" || (isHealth && status === "503")) continue;
      expect(content["application/json"]?.schema.$ref).toBe("#/components/schemas/Error");
    }
    expect(Object.keys(responses)).toContain("500");
    expect([path, Object.keys(responses).includes("401")]).toEqual([path, security.length > 0]);
  }
});

test("the document lists every status that a submission can be answered with", async () => {
  await using api = await startTestApi();
  const { paths } = await readDocument(api);
  expect(Object.keys(paths["/jobs"]?.post?.responses ?? {}).map(Number)).toEqual([
    202, 400, 401, 403, 409, 413, 415, 422, 429, 500, 503, 507,
  ]);
});

test("the page loads nothing from elsewhere, and all that it names is there", async () => {
  await using api = await startTestApi();
  const page = await api.fetch("/swagger");
  expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
  expect(page.headers.get("content-security-policy")).toStartWith("default-src 'self';");
  const html = await page.text();
  const addresses = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, address = ""]) => address);
  expect(addresses).toHaveLength(4);
  for (const address of addresses) {
    const url = new URL(address, `${api.url}/swagger`);
    expect(url.origin).toBe(api.url);
    const asset = await fetch(url);
    expect([address, asset.status]).toEqual([address, 200]);
    expect((await asset.bytes()).length).toBeGreaterThan(100);
    expect(asset.headers.get("cache-control")).toContain("immutable");
    if (!address.endsWith("init.js")) continue;
    expect(asset.headers.get("content-type")).toStartWith("text/javascript");
  }
  expect(html.replaceAll(/(?:src|href)="[^"]+"/g, "")).not.toMatch(/https?:|<script>|style=/);
});

test("the script that starts the page asks for the document, and no outside validator", async () => {
  await using api = await startTestApi();
  const init = await (await api.fetch("/swagger/assets/1.2.3/init.js")).text();
  expect(init).toContain('url: "swagger/json"');
  expect(init).toContain("validatorUrl: null");
});
