import { type ObjectOptions, type Static, type TProperties, type TString, Type } from "@sinclair/typebox";
import { PRIORITIES } from "../../jobs/job.ts";
import { MANIFEST_METADATA_BYTES_MAX, OBJECT_TAGS_MAX } from "../../jobs/object-attributes.ts";
import { SEGMENT_BYTES_MAX } from "../../jobs/object-key.ts";
import { HEADER_VALUE_BYTES_MAX, REQUEST_HEADERS_MAX } from "../../net/request-header.ts";
import { ID_CHARACTERS_MAX, PREFIX_BYTES_MAX, TAGS_MAX, URL_CHARACTERS_MAX } from "./field-rules.ts";

/**
 * The shape of a manifest: types, required and known fields. What strings must look like is in
 * manifest-rules.ts, because "characters" and "bytes" there are not what JSON Schema counts.
 */
function closed<T extends TProperties>(properties: T, description?: string) {
  return Type.Object(properties, {
    additionalProperties: false,
    ...(description === undefined ? {} : { description }),
  });
}

/** An object from names to strings. Not Type.Record: its pattern `^(.*)$` passes over names with a line break. */
export function mapOf(values: TString, options: ObjectOptions = {}) {
  return Type.Unsafe<Record<string, string>>(Type.Object({}, { ...options, additionalProperties: values }));
}

export const SizeSchema = Type.Integer({
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
  description: "Expected size in bytes; checked before the object becomes visible.",
  examples: [48213],
});

const ResourceSchema = closed({
  id: Type.String({
    description:
      `1 to ${ID_CHARACTERS_MAX} characters and at most ${SEGMENT_BYTES_MAX} bytes of UTF-8, unique in the manifest. ` +
      "Becomes part of the storage key: " +
      "no control characters, no backslash, no empty, '.' or '..' segment; no id is a folder of another.",
    examples: ["cover.jpg", "chapter-1/page-01.png"],
  }),
  url: Type.String({
    description: `Absolute http: or https: URL of at most ${URL_CHARACTERS_MAX} characters.`,
    examples: ["https://cdn.example.com/image.jpg"],
  }),
  headers: Type.Optional(
    mapOf(Type.String(), {
      description: `At most ${REQUEST_HEADERS_MAX} request headers; values of at most ${HEADER_VALUE_BYTES_MAX} bytes.`,
      examples: [{ Referer: "https://example.com/page.html" }],
    }),
  ),
  tags: Type.Optional(
    mapOf(Type.String(), {
      description: `At most ${TAGS_MAX} tags, kept with the task.`,
      examples: [{ album: "2026" }],
    }),
  ),
  checksum: Type.Optional(
    Type.String({
      description: "sha256:, sha1: or md5: and the digest in hex; checked before the object becomes visible.",
      examples: ["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
    }),
  ),
  size: Type.Optional(SizeSchema),
  content_type: Type.Optional(
    Type.String({
      description: "Expected media type; '*' is allowed in either half.",
      examples: ["image/*", "application/pdf"],
    }),
  ),
  reject_html: Type.Optional(Type.Boolean({ description: "Refuse HTML where something else was wanted." })),
  proxy_pool: Type.Optional(Type.String({ description: "A configured proxy pool.", examples: ["residential-us"] })),
});

const StorageSchema = closed({
  bucket: Type.Optional(Type.String({ description: "One of the allowed buckets.", examples: ["fetchbox-artifacts"] })),
  resource_key_prefix: Type.Optional(
    Type.String({ description: `At most ${PREFIX_BYTES_MAX} bytes, ends in '/'.`, examples: ["2026/11/23/"] }),
  ),
  manifest_file: Type.Optional(
    Type.String({ description: "One segment, and no resource's id.", examples: ["metadata.json"] }),
  ),
  metadata: Type.Optional(
    mapOf(Type.String(), {
      description:
        "Metadata (x-amz-meta-*) of the resources' objects in S3; ignored by local storage. Names of a-z, 0-9 and '-'; " +
        `names and values together at most ${MANIFEST_METADATA_BYTES_MAX} bytes. What is not visible ASCII, and '%', is ` +
        "percent-encoded.",
      examples: [{ album: "2026" }],
    }),
  ),
  tags: Type.Optional(
    mapOf(Type.String(), {
      description: `Tags of the resources' objects in S3, at most ${OBJECT_TAGS_MAX}; ignored by local storage.`,
      examples: [{ project: "gallery" }],
    }),
  ),
  class: Type.Optional(
    Type.String({
      description: "Storage class of the resources' objects in S3; ignored by local storage.",
      examples: ["STANDARD_IA"],
    }),
  ),
});

export const ManifestSchema = closed(
  {
    manifest_version: Type.Literal("v1"),
    storage: Type.Optional(StorageSchema),
    metadata: Type.Optional(
      Type.Unsafe<Record<string, unknown>>(
        Type.Object(
          {},
          {
            additionalProperties: true,
            description: "Any JSON object; stored verbatim in the manifest object.",
          },
        ),
      ),
    ),
    attributes: Type.Optional(
      closed({
        priority: Type.Optional(
          Type.Union(
            PRIORITIES.map((priority) => Type.Literal(priority)),
            { default: "normal" },
          ),
        ),
      }),
    ),
    resources: Type.Array(ResourceSchema, { minItems: 1, description: "What to download." }),
  },
  "What a client wants downloaded, and where it is to go.",
);

export type Resource = Static<typeof ResourceSchema>;
export type ManifestStorage = Static<typeof StorageSchema>;
export type Manifest = Static<typeof ManifestSchema>;
