import { describe, expect, test } from "bun:test";
import { type FailureCode } from "../../src/jobs/failure.ts";
import { startFaultyS3 } from "../support/faulty-s3.ts";
import { MIB, never, put, SECRET, storeOn } from "../support/faulty-store.ts";
import { failureOf } from "../support/rejection.ts";

describe("an answer of S3", () => {
  const rows: readonly [status: number, s3Code: string, code: FailureCode, tries: number][] = [
    [403, "AccessDenied", "UPLOAD_ACCESS_DENIED", 1],
    [403, "SignatureDoesNotMatch", "UPLOAD_ACCESS_DENIED", 1],
    [403, "InvalidAccessKeyId", "UPLOAD_ACCESS_DENIED", 1],
    [403, "RequestTimeTooSkewed", "UPLOAD_ACCESS_DENIED", 1],
    [403, "", "UPLOAD_ACCESS_DENIED", 1],
    [401, "", "UPLOAD_ACCESS_DENIED", 1],
    [400, "ExpiredToken", "UPLOAD_ACCESS_DENIED", 1],
    [404, "NoSuchBucket", "UPLOAD_NO_SUCH_BUCKET", 1],
    [503, "SlowDown", "UPLOAD_THROTTLED", 3],
    [503, "", "UPLOAD_THROTTLED", 3],
    [429, "TooManyRequests", "UPLOAD_THROTTLED", 3],
    [400, "RequestTimeout", "UPLOAD_TIMEOUT", 1],
    [507, "", "UPLOAD_DISK_FULL", 1],
    [507, "XMinioStorageFull", "UPLOAD_DISK_FULL", 1],
    [403, "QuotaExceeded", "UPLOAD_DISK_FULL", 1],
    [500, "InternalError", "UPLOAD_UNAVAILABLE", 3],
    [502, "", "UPLOAD_UNAVAILABLE", 3],
    [501, "NotImplemented", "UPLOAD_REJECTED", 1],
    [501, "", "UPLOAD_UNAVAILABLE", 1],
    [400, "BadDigest", "UPLOAD_CORRUPT", 3],
    [400, "InvalidArgument", "UPLOAD_REJECTED", 1],
    [400, "", "UPLOAD_UNAVAILABLE", 1],
    [404, "", "UPLOAD_UNAVAILABLE", 1],
    [405, "MethodNotAllowed", "UPLOAD_REJECTED", 1],
    [409, "OperationAborted", "UPLOAD_REJECTED", 1],
    [413, "", "UPLOAD_REJECTED", 1],
    [451, "UnavailableForLegalReasons", "UPLOAD_REJECTED", 1],
    [400, "AuthorizationHeaderMalformed", "UPLOAD_UNAVAILABLE", 1],
    [400, "InvalidBucketName", "UPLOAD_UNAVAILABLE", 1],
    [301, "PermanentRedirect", "UPLOAD_UNAVAILABLE", 1],
    [307, "TemporaryRedirect", "UPLOAD_UNAVAILABLE", 1],
    [400, "KeyTooLongError", "UPLOAD_REJECTED", 1],
    [400, "EntityTooLarge", "UPLOAD_REJECTED", 1],
    [400, "KMS.DisabledException", "UPLOAD_ACCESS_DENIED", 1],
  ];
  for (const [status, s3Code, code, tries] of rows) {
    test(`of ${status} ${s3Code} is ${code} after ${tries} ${tries === 1 ? "try" : "tries"}`, async () => {
      await using s3 = await startFaultyS3();
      const body = `<?xml version="1.0"?><Error><Code>${s3Code}</Code><Message>signature ${SECRET}</Message></Error>`;
      s3.faultFor = () => ({ kind: "answer", status, body: s3Code === "" ? "" : body });
      const failure = await failureOf(put(storeOn(s3.endpoint, { checksum: "sha256" })));
      expect(failure.code).toBe(code);
      expect(s3.calls).toHaveLength(tries);
      expect(failure.message).toContain(`status ${status}`);
      expect(failure.message).toContain(s3Code);
      expect(failure.message).toContain("bucket artifacts");
      expect(failure.message).not.toContain(SECRET);
    });
  }

  test("that says what to do about it says it to the operator", async () => {
    await using s3 = await startFaultyS3();
    const body = "<Error><Code>RequestTimeTooSkewed</Code></Error>";
    s3.faultFor = () => ({ kind: "answer", status: 403, body });
    expect((await failureOf(put(storeOn(s3.endpoint)))).message).toEndWith("set this machine's clock");
  });

  test("that is no HTTP is UPLOAD_UNAVAILABLE", async () => {
    using server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket) => void socket.end("SSH-2.0-OpenSSH\r\n\r\n") },
    });
    const failure = await failureOf(put(storeOn(`http://127.0.0.1:${server.port}`)));
    expect(failure.code).toBe("UPLOAD_UNAVAILABLE");
    expect(failure.message).toContain(`127.0.0.1:${server.port}`);
  });

  test("that never ends is not read for ever", async () => {
    await using s3 = await startFaultyS3();
    s3.faultFor = () => ({ kind: "answer", status: 200, body: "x".repeat(17 * MIB) });
    const failure = await failureOf(Array.fromAsync(storeOn(s3.endpoint).list("artifacts", "", never)));
    expect(failure.code).toBe("UPLOAD_UNAVAILABLE");
  });
});
