import { type ObjectOptions, type Static, type TProperties, type TString, Type } from "@sinclair/typebox";
import { PRIORITIES } from "../../jobs/job.ts";
import { MANIFEST_METADATA_BYTES_MAX, OBJECT_TAGS_MAX } from "../../jobs/object-attributes.ts";
import { SEGMENT_BYTES_MAX } from "../../jobs/object-key.ts";
import { HEADER_VALUE_BYTES_MAX, REQUEST_HEADERS_MAX } from "../../net/request-header.ts";
import { NAMES_MAX } from "../json/json-names.ts";
import {
  ID_CHARACTERS_MAX,
  PREFIX_BYTES_MAX,
  TAG_NAME_CHARACTERS_MAX,
  TAG_VALUE_BYTES_MAX,
  TAGS_MAX,
  URL_CHARACTERS_MAX,
} from "./field-rules.ts";

/**
 * The shape of a manifest: types, required and known fields. The rules for strings are in manifest-rules.ts, because
 * JSON Schema counts characters and bytes differently.
 */
function closed<T extends TProperties>(properties: T, description?: string) {
  return Type.Object(properties, {
    additionalProperties: false,
    ...(description === undefined ? {} : { description }),
  });
}

/** An object from names to strings. Not Type.Record, whose pattern `^(.*)$` skips names with a line break. */
export function mapOf(values: TString, options: ObjectOptions = {}) {
  return Type.Unsafe<Record<string, string>>(Type.Object({}, { ...options, additionalProperties: values }));
}

export const SizeSchema = Type.Integer({
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
  description: "Expected size in bytes. An object of another size does not become visible.",
  examples: [48213],
});

export const ResourceSchema = closed({
  id: Type.String({
    description:
      `Id of the resource: 1 to ${ID_CHARACTERS_MAX} characters and at most ${SEGMENT_BYTES_MAX} bytes of UTF-8, unique ` +
      "in the manifest. It becomes part of the storage key, so it must not contain control characters, backslashes, or " +
      "empty, `.` or `..` segments. No id may be a folder of another: `a` beside `a/b`.",
    examples: ["cover.jpg", "chapter-1/page-01.png"],
  }),
  url: Type.String({
    description:
      `Absolute \`http:\` or \`https:\` URL, at most ${URL_CHARACTERS_MAX} characters. The egress policy may deny its ` +
      "address.",
    examples: ["https://cdn.example.com/image.jpg"],
  }),
  headers: Type.Optional(
    mapOf(Type.String(), {
      description:
        `Request headers, at most ${REQUEST_HEADERS_MAX}, with values of at most ${HEADER_VALUE_BYTES_MAX} bytes. They ` +
        "replace default headers of the handler. `Host`, `Range`, `Accept-Encoding` and headers of the connection are " +
        "refused.",
      examples: [{ Referer: "https://example.com/page.html" }],
    }),
  ),
  tags: Type.Optional(
    mapOf(Type.String(), {
      description:
        `Tags for the handler, at most ${TAGS_MAX}: names of 1 to ${TAG_NAME_CHARACTERS_MAX} characters, values of at ` +
        `most ${TAG_VALUE_BYTES_MAX} bytes. They are kept with the task and the stored manifest.`,
      examples: [{ album: "2026" }],
    }),
  ),
  checksum: Type.Optional(
    Type.String({
      description:
        "Expected digest: `sha256:`, `sha1:` or `md5:` and the digest in hexadecimal digits. An object with another digest " +
        "does not become visible.",
      examples: ["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
    }),
  ),
  size: Type.Optional(SizeSchema),
  content_type: Type.Optional(
    Type.String({
      description: "Expected media type; each half may be `*`. A body of another type does not become visible.",
      examples: ["image/*", "application/pdf"],
    }),
  ),
  reject_html: Type.Optional(
    Type.Boolean({
      description:
        "True: refuse a body that is HTML, such as an error page with status 200. Default: the handler's setting, else false.",
    }),
  ),
  proxy_pool: Type.Optional(
    Type.String({
      description: "Name of a configured proxy pool. Default: the handler's pool, else a direct connection.",
      examples: ["residential-us"],
    }),
  ),
});

export const StorageSchema = closed({
  bucket: Type.Optional(
    Type.String({
      description:
        "Bucket for all objects of the job: `storage.bucket`, a handler's bucket, or one of `storage.allowed_buckets`. " +
        "Default: the handler's bucket, else `storage.bucket`.",
      examples: ["fetchbox-artifacts"],
    }),
  ),
  resource_key_prefix: Type.Optional(
    Type.String({
      description:
        `Prefix of all storage keys of the job, at most ${PREFIX_BYTES_MAX} bytes; it ends in \`/\`. Default: ` +
        "`resources/JOB_TYPE/JOB_ID/` for resources and `manifests/JOB_TYPE/JOB_ID/` for the manifest.",
      examples: ["2026/11/23/"],
    }),
  ),
  manifest_file: Type.Optional(
    Type.String({
      description:
        "Name of the manifest object below the prefix: one segment, not the id of a resource. Default: `metadata.json`.",
      examples: ["metadata.json"],
    }),
  ),
  metadata: Type.Optional(
    mapOf(Type.String(), {
      description:
        "Metadata (`x-amz-meta-*`) of the resources' objects in S3; local storage ignores it. Names consist of a-z, 0-9 and " +
        `\`-\`. Names and encoded values have at most ${MANIFEST_METADATA_BYTES_MAX} bytes together. Characters that are ` +
        "not visible ASCII, and `%`, are stored percent-encoded.",
      examples: [{ album: "2026" }],
    }),
  ),
  tags: Type.Optional(
    mapOf(Type.String(), {
      description: `Tags of the resources' objects in S3, at most ${OBJECT_TAGS_MAX}; local storage ignores them.`,
      examples: [{ project: "gallery" }],
    }),
  ),
  class: Type.Optional(
    Type.String({
      description:
        "Storage class of the resources' objects in S3, 1 to 32 of A-Z, 0-9 and `_`; local storage ignores it. Default: " +
        "that of the bucket.",
      examples: ["STANDARD_IA"],
    }),
  ),
});

export const ManifestSchema = closed(
  {
    manifest_version: Type.Literal("v1", { description: "Version of the manifest format." }),
    storage: Type.Optional(StorageSchema),
    metadata: Type.Optional(
      Type.Unsafe<Record<string, unknown>>(
        Type.Object(
          {},
          {
            additionalProperties: true,
            description: "Any JSON object. It is stored verbatim in the manifest object.",
          },
        ),
      ),
    ),
    attributes: Type.Optional(
      closed({
        priority: Type.Optional(
          Type.Union(
            PRIORITIES.map((priority) => Type.Literal(priority)),
            {
              default: "normal",
              description: "Priority of the job's tasks over those of other jobs. Default: `normal`.",
            },
          ),
        ),
      }),
    ),
    resources: Type.Array(ResourceSchema, {
      minItems: 1,
      description: "The resources to download, 1 to `api.max_resources_per_manifest`, 1000 by default.",
    }),
  },
  "The resources to download, and the place to store them. Only `manifest_version` and `resources` are required. It " +
    `has at most ${NAMES_MAX} different member names, and no object has a member twice.`,
);

export type Resource = Static<typeof ResourceSchema>;
export type ManifestStorage = Static<typeof StorageSchema>;
export type Manifest = Static<typeof ManifestSchema>;
