import { describe, expect, test } from "bun:test";
import { KindGuard, type TSchema } from "@sinclair/typebox";
import {
  ID_CHARACTERS_MAX,
  PREFIX_BYTES_MAX,
  TAGS_MAX,
  URL_CHARACTERS_MAX,
} from "../../src/intake/manifest/field-rules.ts";
import { parseManifest } from "../../src/intake/manifest/manifest.ts";
import { ManifestSchema, ResourceSchema, StorageSchema } from "../../src/intake/manifest/manifest-schema.ts";
import { PRIORITIES } from "../../src/jobs/job.ts";
import {
  MANIFEST_METADATA_BYTES_MAX,
  OBJECT_TAGS_BYTES_MAX,
  OBJECT_TAGS_MAX,
} from "../../src/jobs/object-attributes.ts";
import { SEGMENT_BYTES_MAX } from "../../src/jobs/object-key.ts";
import { MEDIA_TYPE_LENGTH_MAX } from "../../src/net/media-type.ts";
import { HEADER_VALUE_BYTES_MAX, REQUEST_HEADERS_MAX } from "../../src/net/request-header.ts";
import { codeBlocksOf, readPage } from "./pages.ts";

const PAGE = readPage("docs/guide/submitting.md");
const ROWS = PAGE.split("\n").filter((line) => line.startsWith("| `"));

/** The fields of an object with those of the objects in it, as the page names them. */
function fieldsOf(schema: TSchema, prefix = ""): { name: string; schema: TSchema; isRequired: boolean }[] {
  const required: readonly unknown[] = Array.isArray(schema["required"]) ? schema["required"] : [];
  return Object.entries<TSchema>(schema["properties"]).flatMap(([key, field]) => {
    const name = `${prefix}${key}`;
    return [
      { name, schema: field, isRequired: required.includes(key) },
      ...fieldsOf(field.properties ? field : EMPTY, `${name}.`),
    ];
  });
}

const EMPTY = { properties: {} } as unknown as TSchema;
const FIELDS = [...fieldsOf(ManifestSchema), ...fieldsOf(ResourceSchema)];

function typeOf(schema: TSchema): string {
  if (KindGuard.IsUnion(schema) || KindGuard.IsLiteral(schema)) return "string";
  const isMap = schema["type"] === "object" && schema["additionalProperties"]?.type === "string";
  return isMap ? "object of strings" : String(schema["type"]);
}

const LIMITS = {
  maxResources: 1000,
  buckets: new Set(["fetchbox-artifacts"]),
  pools: new Set(["residential-us"]),
  deniesLiteral: () => undefined,
  refusesKey: () => undefined,
};

function accepted(manifest: string) {
  return parseManifest(new TextEncoder().encode(manifest), LIMITS).manifest;
}

function rowOf(field: string): string {
  return ROWS.find((row) => row.startsWith(`| \`${field}\` |`)) ?? "";
}

function cellsOf(field: string): string[] {
  return rowOf(field)
    .split(/\s*\|\s*/)
    .slice(1, -1);
}

/** Resources and storage have a column of examples. */
const WITH_EXAMPLE = FIELDS.map(({ name }) => name).filter((name) => cellsOf(name).length === 5);

describe("the manifest reference", () => {
  test.each(FIELDS.map((field) => [field.name, field] as const))("has a row of %s with its type", (name, field) => {
    const [, type, fallback, rules = ""] = cellsOf(name);
    expect(type).toBe(typeOf(field.schema));
    expect(fallback === "required").toBe(field.isRequired);
    expect(rules).not.toBe("");
  });

  test("has no row of a field that does not exist", () => {
    const start = PAGE.indexOf("\n## The manifest");
    const end = PAGE.indexOf("\n### Paths");
    const names = [...PAGE.slice(start, end).matchAll(/^\| `([a-z_.]+)`/gm)].map(([, name]) => name ?? "");
    expect(names.toSorted()).toEqual(FIELDS.map(({ name }) => name).toSorted());
  });

  test.each([
    ["id", `1 to ${ID_CHARACTERS_MAX} characters and at most ${SEGMENT_BYTES_MAX} bytes`],
    ["url", `at most ${URL_CHARACTERS_MAX} characters`],
    ["headers", `at most ${REQUEST_HEADERS_MAX} `],
    ["tags", `at most ${TAGS_MAX};`],
    ["size", `0 to ${Number.MAX_SAFE_INTEGER} bytes`],
    ["content_type", `at most ${MEDIA_TYPE_LENGTH_MAX} characters`],
    ["storage.resource_key_prefix", `at most ${PREFIX_BYTES_MAX} bytes`],
    ["storage.manifest_file", `at most ${SEGMENT_BYTES_MAX} bytes`],
    ["storage.metadata", `at most ${MANIFEST_METADATA_BYTES_MAX} bytes`],
    ["storage.tags", `at most ${OBJECT_TAGS_MAX};`],
    ["storage.tags", `at most ${OBJECT_TAGS_BYTES_MAX} bytes`],
    ...PRIORITIES.map((priority) => ["attributes.priority", `\`"${priority}"\``] as const),
  ])("names the bound of %s: %s", (field, bound) => {
    expect(rowOf(field)).toContain(bound);
  });

  test("names the limit of a header's value", () => {
    expect(PAGE).toContain(`Latin-1 with at most ${HEADER_VALUE_BYTES_MAX} bytes`);
  });

  test("shows manifests that the service accepts, and uses every field of a resource in them", () => {
    const manifests = codeBlocksOf(PAGE, "json").filter((text) => text.includes('"manifest_version"'));
    expect(manifests.length).toBeGreaterThan(0);
    const parsed = manifests.map(accepted);
    const used = new Set(parsed.flatMap(({ resources }) => resources.flatMap((resource) => Object.keys(resource))));
    expect([...used].toSorted()).toEqual(Object.keys(ResourceSchema.properties).toSorted());
  });

  test("has examples of every field of a resource and of the storage", () => {
    expect(WITH_EXAMPLE).toHaveLength(
      [ResourceSchema, StorageSchema].flatMap(({ properties }) => Object.keys(properties)).length,
    );
  });

  test.each(WITH_EXAMPLE)("shows an example of %s that the service accepts", (name) => {
    const example: unknown = JSON.parse(cellsOf(name).at(-1)?.replaceAll("`", "") ?? "");
    const [group = "", field] = name.split(".");
    const resource = { id: "a", url: "http://h/", ...(field === undefined && { [group]: example }) };
    const storage = field === undefined ? {} : { [group]: { [field]: example } };
    accepted(JSON.stringify({ manifest_version: "v1", ...storage, resources: [resource] }));
  });
});
