import { expect, test } from "bun:test";
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { ERRORS } from "../../src/api/http/errors.ts";
import { HOST_STATES } from "../../src/jobs/host-view.ts";
import { JOB_STATUSES } from "../../src/jobs/job.ts";
import { LIMIT_CAUSES } from "../../src/jobs/queue-limit.ts";
import { startTestApi } from "../api/running-api.ts";
import { readPage } from "./pages.ts";

const PAGE = readPage("docs/reference/api.md");
const OpenApi = Type.Object({ paths: Type.Record(Type.String(), Type.Record(Type.String(), Type.Unknown())) });

test("docs/reference/api.md lists the endpoints of the OpenAPI document, and no other", async () => {
  await using api = await startTestApi();
  const document: unknown = await (await api.fetch("/swagger/json")).json();
  Value.Assert(OpenApi, document);
  const served = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ":$1")}`),
  );
  const listed = [...PAGE.matchAll(/^\| (GET|POST|DELETE) \| `([^`]+)` \|/gm)].map(
    ([, method, path]) => `${method} ${path}`,
  );
  expect(listed.toSorted()).toEqual(served.toSorted());
});

test("docs/reference/api.md lists every error code with its status", () => {
  const rows = new Map([...PAGE.matchAll(/^\| (\d{3}) \| (.*) \|$/gm)].map(([, status, codes]) => [status, codes]));
  for (const [code, { status }] of Object.entries(ERRORS))
    expect([status, rows.get(String(status))]).toEqual([status, expect.stringContaining(`\`${code}\``)]);
  const listed = [...rows.values()].flatMap((codes) =>
    [...(codes ?? "").matchAll(/`([A-Z_]+)`/g)].map(([, code]) => code ?? ""),
  );
  expect(listed.toSorted()).toEqual(Object.keys(ERRORS).toSorted());
});

test.each([...HOST_STATES, ...LIMIT_CAUSES, ...JOB_STATUSES])("docs/reference/api.md explains %s", (word) => {
  expect(PAGE).toContain(`\`${word}\``);
});
