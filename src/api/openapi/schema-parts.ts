import { type TProperties, type TSchema, Type } from "@sinclair/typebox";

// Builders and fields that several schemas of the API use.

export function closed<T extends TProperties>(properties: T, description: string) {
  return Type.Object(properties, { additionalProperties: false, description });
}

export function oneOf<const T extends string>(words: readonly T[], description: string) {
  return Type.Union(
    words.map((word) => Type.Literal(word)),
    { description },
  );
}

export function orNull<T extends TSchema>(schema: T, description: string) {
  return Type.Union([schema, Type.Null()], { description });
}

export function count(description: string) {
  return Type.Integer({ minimum: 0, description });
}

export function time(description: string) {
  return Type.String({ description: `${description} ${TIME_FORMAT}`, examples: ["2026-11-23T12:00:00.000Z"] });
}

export function timeOrNull(description: string, whenNull: string) {
  return orNull(Type.String(), `${description} ${TIME_FORMAT} ${whenNull}`);
}

const TIME_FORMAT = "RFC 3339, in UTC.";

// Fields that several schemas have.
export const jobId = Type.String({ description: "Id of the job, a UUIDv7." });
export const jobType = Type.String({
  description: "Job type: the name of the configured handler that expanded the manifest.",
});
export const tenant = Type.String({ description: "Tenant that the job was submitted for." });
export const resourceId = Type.String({ description: "Id of the resource in the manifest." });
export const url = Type.String({ description: "URL of the resource, without user name and password." });
export const failureCode = Type.String({ description: "Failure code, for programs.", examples: ["DOWNLOAD_HTTP_404"] });
export const failureMessage = Type.String({ description: "Cause of the failure, for people." });
export const attempts = count(
  "Number of attempts spent, a successful one included. Throttled and interrupted attempts do not count, nor do those " +
    "before a replay.",
);
export const manifestKey = Type.String({ description: "URL of the stored manifest: `s3://` or `file://`." });

export const AttemptSchema = closed(
  {
    started_at: time("Start of the attempt."),
    duration_ms: count("Duration in milliseconds; 0 if the process ended during the attempt (`TASK_INTERRUPTED`)."),
    code: failureCode,
    message: failureMessage,
    http_status: orNull(Type.Integer(), "HTTP status of the answer; null without an answer."),
    address: orNull(Type.String(), "IP address that the attempt connected to; null without a connection."),
    proxy: orNull(Type.String(), "URL of the proxy, without user name and password; null for a direct connection."),
    bytes: count("Number of body bytes received."),
    body_start: orNull(
      Type.String(),
      "First bytes of the body, at most 512, in hexadecimal digits; null without a body. Only failures by the status " +
        "(`DOWNLOAD_HTTP_…`) and by a check of the body have it.",
    ),
  },
  "A failed attempt to download a resource.",
);
export const history = Type.Array(AttemptSchema, {
  description: "Failed attempts, oldest first: the first one and the latest 19. A replay keeps them.",
});

export const nextCursor = orNull(
  Type.String(),
  "Value of the parameter `cursor` for the next page; null on the last page. Its contents may change: do not parse it.",
);
