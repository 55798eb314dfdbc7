import { describe, expect, test } from "bun:test";
import { type Fault, startFaultyS3 } from "../support/faulty-s3.ts";
import { never, SECRET, storeOn } from "../support/faulty-store.ts";
import { failureOf } from "../support/rejection.ts";

const answer = (status: number, body = "", headers: Readonly<Record<string, string>> = {}): Fault => ({
  kind: "answer",
  status,
  body,
  headers,
});
const refusal = (status: number, code: string, more = "", headers = {}): Fault =>
  answer(status, `<?xml version="1.0"?>\n<Error><Code>${code}</Code><Message>No.</Message>${more}</Error>`, headers);
const PAGE = answer(200, "<html><body>Welcome!</body></html>", { "content-type": "text/html; charset=utf-8" });
const IRELAND = { "x-amz-bucket-region": "eu-west-1" };

/** A check of a bucket where every request goes wrong so. */
async function checkWith(fault: Fault | undefined, timeoutMs = 5000) {
  await using s3 = await startFaultyS3();
  s3.faultFor = () => fault;
  const check = storeOn(s3.endpoint, { timeoutMs }).check("artifacts", never);
  if (fault === undefined) return { calls: s3.calls, doubt: await check };
  const failure = await failureOf(check);
  return { calls: s3.calls, code: failure.code, message: failure.message };
}

describe("a check of a bucket", () => {
  test("that works is one HEAD", async () => {
    const { calls, doubt } = await checkWith(undefined);
    expect(doubt).toBeUndefined();
    expect(calls.map(({ method, path }) => `${method} ${path}`)).toEqual(["HEAD /artifacts"]);
  });

  test("that may be written to, for all that these credentials may see, is a doubt", async () => {
    await using s3 = await startFaultyS3();
    s3.faultFor = () => refusal(403, "AccessDenied");
    const doubt = await storeOn(s3.endpoint).check("artifacts", never);
    expect(doubt).toContain("AccessDenied");
    expect(doubt).toContain("s3:ListBucket");
  });

  test("whose HEAD has no body is no page, whatever its type is called", async () => {
    await using s3 = await startFaultyS3();
    s3.faultFor = () => answer(200, "", { "content-type": "text/html; charset=UTF-8" });
    expect(await storeOn(s3.endpoint).check("artifacts", never)).toBeUndefined();
    expect(s3.calls.map(({ method }) => method)).toEqual(["HEAD"]);
  });

  test.each<[string, Fault]>([
    ["403", answer(403)],
    ["405", answer(405)],
    ["a page", PAGE],
  ])("whose HEAD is answered with %s works, if it can be listed", async (_, fault) => {
    await using s3 = await startFaultyS3();
    s3.faultFor = ({ method }) => (method === "HEAD" ? fault : undefined);
    expect(await storeOn(s3.endpoint).check("artifacts", never)).toBeUndefined();
  });

  test.each<[string, Fault, string, readonly string[]]>([
    ["no such bucket", refusal(404, "NoSuchBucket"), "UPLOAD_NO_SUCH_BUCKET", ["NoSuchBucket", "create the bucket"]],
    ["a wrong key id", refusal(403, "InvalidAccessKeyId"), "UPLOAD_ACCESS_DENIED", ["InvalidAccessKeyId", "key id"]],
    [
      "a wrong secret",
      refusal(403, "SignatureDoesNotMatch", `<StringToSign>${SECRET}</StringToSign>`),
      "UPLOAD_ACCESS_DENIED",
      ["SignatureDoesNotMatch", "secret access key"],
    ],
    ["an expired token", refusal(400, "ExpiredToken"), "UPLOAD_ACCESS_DENIED", ["ExpiredToken", "renew"]],
    [
      "another region, which the head names",
      refusal(301, "PermanentRedirect", "", IRELAND),
      "UPLOAD_UNAVAILABLE",
      ["PermanentRedirect", 'the bucket is in the region eu-west-1: set storage.region = "eu-west-1"'],
    ],
    [
      "another region, which the body names",
      refusal(400, "AuthorizationHeaderMalformed", "<Region>garage</Region>"),
      "UPLOAD_UNAVAILABLE",
      ["AuthorizationHeaderMalformed", 'storage.region = "garage"'],
    ],
    [
      "another region, which nothing names",
      refusal(301, "PermanentRedirect"),
      "UPLOAD_UNAVAILABLE",
      ["check storage.endpoint and storage.region"],
    ],
    ["too many requests", refusal(503, "SlowDown"), "UPLOAD_THROTTLED", ["SlowDown"]],
    ["a page to everything", PAGE, "UPLOAD_UNAVAILABLE", ["not S3's", "storage.endpoint"]],
    ["a refusal of no S3", answer(403, "<html>Forbidden</html>"), "UPLOAD_ACCESS_DENIED", ["not S3's"]],
    ["a 404 of no S3", answer(404, "404 page not found"), "UPLOAD_UNAVAILABLE", ["not S3's"]],
    ["a failure", answer(500), "UPLOAD_UNAVAILABLE", ["status 500"]],
    ["a closed connection", { kind: "reset" }, "UPLOAD_UNAVAILABLE", ["no answer"]],
  ])("with %s fails, and says what to do", async (_, fault, code, words) => {
    const { code: found, message } = await checkWith(fault);
    expect(found).toBe(code as never);
    for (const word of words) expect(message).toContain(word);
    expect(message).not.toContain(SECRET);
  });

  test("that gives no answer is given up", async () => {
    expect((await checkWith({ kind: "hang" }, 40)).code).toBe("UPLOAD_TIMEOUT");
  });

  test("names no region where the right one is named, or none that can be one", async () => {
    const right = await checkWith(refusal(301, "PermanentRedirect", "", { "x-amz-bucket-region": "us-east-1" }));
    expect(right.message).toContain("check storage.endpoint and storage.region");
    const odd = await checkWith(refusal(400, "AuthorizationHeaderMalformed", "<Region>a b; rm</Region>"));
    expect(odd.message).not.toContain("a b;");
    expect(odd.message).toContain("check storage.region");
  });
});
