import { describe, expect, test } from "bun:test";
import { classOf, FAILURE_CLASSES, Failure, type FailureClass, httpFailure } from "../../src/jobs/failure.ts";

/** The contract's table of failure codes; a mismatch is retried once, then it is permanent. */
const CONTRACT: Readonly<Record<FailureClass, readonly string[]>> = {
  transient: [
    "DOWNLOAD_TIMEOUT",
    "DOWNLOAD_CONNECT_FAILED",
    "DOWNLOAD_RESET",
    "DOWNLOAD_TRUNCATED",
    "DOWNLOAD_TOO_SLOW",
    "DOWNLOAD_PROTOCOL_ERROR",
    "DOWNLOAD_DNS_TEMPORARY",
    "PROXY_EXHAUSTED",
  ],
  throttled: ["DOWNLOAD_HOST_UNAVAILABLE"],
  unavailable: [
    "UPLOAD_UNAVAILABLE",
    "UPLOAD_TIMEOUT",
    "UPLOAD_THROTTLED",
    "UPLOAD_ACCESS_DENIED",
    "UPLOAD_NO_SUCH_BUCKET",
    "UPLOAD_DISK_FULL",
  ],
  rejected: ["UPLOAD_REJECTED", "UPLOAD_CORRUPT"],
  permanent: [
    "DOWNLOAD_DNS_NOT_FOUND",
    "DOWNLOAD_TLS_INVALID",
    "DOWNLOAD_TOO_LARGE",
    "DOWNLOAD_HEADERS_TOO_LARGE",
    "DOWNLOAD_TOO_MANY_REDIRECTS",
    "DOWNLOAD_URL_NOT_ALLOWED",
    "DOWNLOAD_CONTENT_TYPE_MISMATCH",
    "HANDLER_ERROR",
    "STORAGE_KEY_CONFLICT",
    "TASK_INTERRUPTED",
  ],
  mismatch: ["DOWNLOAD_CHECKSUM_MISMATCH", "DOWNLOAD_SIZE_MISMATCH"],
};

test("every named code has the class that the contract gives it", () => {
  const codesOf = (failureClass: string) =>
    Object.entries(FAILURE_CLASSES)
      .filter(([, each]) => each === failureClass)
      .map(([code]) => code);
  for (const [failureClass, codes] of Object.entries(CONTRACT)) {
    expect([failureClass, codesOf(failureClass).sort()]).toEqual([failureClass, codes.toSorted()]);
  }
});

describe("an HTTP status has a class", () => {
  const rows: readonly [status: number, retryAfterMs: number | undefined, FailureClass][] = [
    [408, undefined, "transient"],
    [500, undefined, "transient"],
    [502, 1000, "transient"],
    [599, undefined, "transient"],
    [503, undefined, "transient"],
    [503, 1000, "throttled"],
    [503, 0, "throttled"],
    [429, undefined, "throttled"],
    [429, 1000, "throttled"],
    [404, undefined, "permanent"],
    [404, 1000, "permanent"],
    [401, undefined, "permanent"],
    [410, undefined, "permanent"],
    [206, undefined, "permanent"],
    [304, undefined, "permanent"],
    [300, undefined, "permanent"],
    [600, undefined, "permanent"],
  ];
  for (const [status, retryAfterMs, failureClass] of rows) {
    test(`${status}${retryAfterMs === undefined ? "" : ` with Retry-After ${retryAfterMs} ms`}: ${failureClass}`, () => {
      const failure = httpFailure(status, retryAfterMs);
      expect(failure).toMatchObject({
        code: `DOWNLOAD_HTTP_${status}`,
        class: failureClass,
        httpStatus: status,
        retryAfterMs,
      });
      expect(classOf(failure.code, retryAfterMs !== undefined)).toBe(failureClass);
    });
  }
});

test("a failure keeps its cause and its message", () => {
  const cause = new Error("ECONNRESET");
  const failure = new Failure("DOWNLOAD_RESET", "the connection was reset", { cause });
  expect([failure.message, failure.cause, failure.name]).toEqual(["the connection was reset", cause, "Failure"]);
  expect("cause" in new Failure("DOWNLOAD_RESET", "")).toBe(false);
});
