import { describe, expect, test } from "bun:test";
import { Failure } from "../../src/jobs/failure.ts";
import type { S3Credentials } from "../../src/storage/s3/client/sign.ts";
import type { CredentialSource } from "../../src/storage/s3/credentials/credential-source.ts";
import { startFaultyS3 } from "../support/faulty-s3.ts";
import { never, open, put, storeOn, writeAll } from "../support/faulty-store.ts";
import { pattern } from "../support/pattern.ts";
import { failureOf } from "../support/rejection.ts";

/** Keys that the test changes, and which of them S3 refused. */
function keysInHand(keys: S3Credentials) {
  const refused: S3Credentials[] = [];
  const hand = { keys, refused };
  const credentials: CredentialSource = {
    current: () => Promise.resolve(hand.keys),
    refused: (others) => void refused.push(others),
  };
  return { hand, credentials };
}

const FIRST = { accessKeyId: "FIRST", secretAccessKey: "secret one" };
const SECOND = { accessKeyId: "SECOND", secretAccessKey: "secret two", sessionToken: "the session" };

describe("keys that change", () => {
  test("sign the next request, with their session token", async () => {
    await using s3 = await startFaultyS3();
    const { hand, credentials } = keysInHand(FIRST);
    const now = Date.UTC(2026, 10, 23, 12);
    const store = storeOn(s3.endpoint, { credentials, now: () => now });
    await store.check("artifacts", never);
    hand.keys = SECOND;
    await store.check("artifacts", never);
    // The signature depends on the secret, too: the same request, with the second id and the first secret.
    hand.keys = { ...SECOND, secretAccessKey: FIRST.secretAccessKey };
    await store.check("artifacts", never);
    hand.keys = FIRST;
    await store.check("artifacts", never);
    const [one, two, other, again] = s3.calls.map(({ headers }) => ({
      id: /Credential=([^/]+)/.exec(headers.get("authorization") ?? "")?.[1],
      signature: /Signature=(\w+)/.exec(headers.get("authorization") ?? "")?.[1],
      session: headers.get("x-amz-security-token"),
    }));
    expect(one).toMatchObject({ id: "FIRST", session: null });
    expect(two).toMatchObject({ id: "SECOND", session: "the session" });
    expect(other?.signature).not.toBe(two?.signature);
    expect(again).toEqual(one);
  });

  test("sign the next part of an upload that is under way", async () => {
    await using s3 = await startFaultyS3();
    const { hand, credentials } = keysInHand(FIRST);
    const upload = await open(storeOn(s3.endpoint, { credentials }));
    const body = pattern(20 * 2 ** 20);
    await writeAll(upload, body.subarray(0, 10 * 2 ** 20));
    hand.keys = SECOND;
    await writeAll(upload, body.subarray(10 * 2 ** 20));
    await upload.commit();
    expect(s3.calls[0]?.headers.get("authorization")).toContain("Credential=FIRST/");
    expect(s3.calls.at(-1)?.headers.get("authorization")).toContain("Credential=SECOND/");
    expect(s3.objects.get("a/b")?.body.byteLength).toBe(body.byteLength);
  });
});

test.each([
  ["ExpiredToken", 400, true],
  ["InvalidToken", 400, true],
  ["InvalidAccessKeyId", 403, true],
  ["AccessDenied", 403, false],
  ["SignatureDoesNotMatch", 403, false],
  ["", 403, false],
])("the source of the keys is told of %s %i: %p", async (code, status, isTold) => {
  await using s3 = await startFaultyS3();
  s3.faultFor = () => ({ kind: "answer", status, body: code === "" ? "" : `<Error><Code>${code}</Code></Error>` });
  const { hand, credentials } = keysInHand(FIRST);
  const store = storeOn(s3.endpoint, { credentials });
  expect((await failureOf(put(store))).code).toBe("UPLOAD_ACCESS_DENIED");
  // Of a long body the answer is read elsewhere.
  const upload = await open(store, 300 * 1024);
  await failureOf(writeAll(upload, pattern(300 * 1024)).then(() => upload.commit()));
  expect(hand.refused).toEqual(isTold ? [FIRST, FIRST] : []);
});

test("the check of a bucket tells the source of the keys, though the answer to HEAD names no code", async () => {
  await using s3 = await startFaultyS3();
  const body = "<Error><Code>ExpiredToken</Code></Error>";
  s3.faultFor = ({ method }) => ({ kind: "answer", status: 400, body: method === "HEAD" ? "" : body });
  const { hand, credentials } = keysInHand(FIRST);
  const failure = await failureOf(storeOn(s3.endpoint, { credentials }).check("artifacts", never));
  expect([failure.code, hand.refused]).toEqual(["UPLOAD_ACCESS_DENIED", [FIRST]]);
});

test("without keys nothing is sent, and the failure lets the task wait", async () => {
  await using s3 = await startFaultyS3();
  const none = new Failure("UPLOAD_UNAVAILABLE", "there are no S3 credentials");
  const credentials: CredentialSource = { current: () => Promise.reject(none), refused() {} };
  const store = storeOn(s3.endpoint, { credentials });
  expect(await failureOf(put(store))).toBe(none);
  expect(await failureOf(store.check("artifacts", never))).toBe(none);
  expect(s3.calls).toEqual([]);
});
