import type { BodySource } from "../../../http/message/outgoing-body.ts";
import type { ObjectRef, UploadTracking } from "../../../jobs/object-store.ts";
import { base64OfHex, md5Hex, sha256Hex } from "../../../std/digest.ts";
import { cleanUp } from "../clean-up.ts";
import { bareEtag } from "../metadata.ts";
import { trailerBody } from "./aws-chunked.ts";
import { SHA256_HEADER } from "./copy-checks.ts";
import type { S3Answer, S3Client, S3Request } from "./s3-client.ts";
import { S3Failure } from "./s3-failure.ts";
import { textOf } from "./xml.ts";

export interface ProbeResult {
  readonly takesTrailers: boolean;
  readonly verifiesHashes: boolean;
  readonly takesSha256Uploads: boolean;
  readonly etagsAreMd5: boolean;
}

/** An object that is about to be stored. */
export interface UploadToCome extends Pick<UploadTracking, "onProbe"> {
  readonly ref: ObjectRef;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

const NOTHING = { takesTrailers: false, verifiesHashes: false, etagsAreMd5: false } as const;
const SAMPLE = Buffer.from("FetchBox asks which checksums this server compares.");
const SAMPLE_SHA256 = sha256Hex(SAMPLE);
const SAMPLE_MD5 = md5Hex(SAMPLE);
const OTHER_SHA256 = sha256Hex("something else");

/**
 * Finds out how the server treats checksums, by an upload in parts that is never completed: no object becomes
 * visible. The upload has the key and the headers of an object that is about to be stored, which its writer may store.
 * @returns undefined where the server cannot be asked now
 */
export async function probeServer(
  client: S3Client,
  { ref: { bucket, key }, headers, signal, onProbe }: UploadToCome,
): Promise<ProbeResult | undefined> {
  const request = { method: "POST", bucket, key, query: { uploads: "" }, headers } as const;
  try {
    await onProbe?.(true);
  } catch {
    return undefined; // a crash would leave the upload for good
  }
  const created = await createUpload(client, request, signal);
  if (created instanceof S3Failure) {
    if (!created.isUncertain) void onProbe?.(false); // else it may be open all the same, or be opened late
    return undefined;
  }
  const { uploadId, takesSha256Uploads } = created;
  if (uploadId === undefined) {
    void onProbe?.(false);
    return { ...NOTHING, takesSha256Uploads };
  }
  const part = (number: number): S3Request => ({
    method: "PUT",
    bucket,
    key,
    query: { partNumber: String(number), uploadId },
  });
  try {
    const plain = await answerTo(client.exchange({ ...part(1), body: SAMPLE, payloadHash: SAMPLE_SHA256 }, signal));
    if (isGone(plain)) return undefined;
    if (plain instanceof S3Failure) return isAway(plain) ? undefined : { ...NOTHING, takesSha256Uploads };
    const verifiesHashes = await isWrongHashRefused(client, part(2), signal);
    const takesTrailers = await areTrailersCompared(client, part(3), signal);
    const etagsAreMd5 = bareEtag(plain.headers.get("etag")) === SAMPLE_MD5;
    return { takesTrailers, verifiesHashes, takesSha256Uploads, etagsAreMd5 };
  } finally {
    const abort: S3Request = { method: "DELETE", bucket, key, query: { uploadId } };
    const cleaned = cleanUp((own) => client.exchange(abort, own)).then((isGone) => {
      if (isGone) void onProbe?.(false);
    });
    // Its time is over: nobody waits for a server that may hang.
    if (!signal.aborted) await cleaned;
  }
}

/** Some servers know no checksum of a whole upload, and some no uploads in parts. The failure of one that is away. */
async function createUpload(client: S3Client, request: S3Request, signal: AbortSignal) {
  for (const takesSha256Uploads of [true, false]) {
    const algorithm = takesSha256Uploads ? { "x-amz-checksum-algorithm": "SHA256" } : {};
    const headers = { ...request.headers, ...algorithm };
    const answer = await answerTo(client.exchange({ ...request, headers }, signal));
    if (answer instanceof S3Failure) {
      if (isAway(answer)) return answer;
      continue;
    }
    const uploadId = textOf(answer.text, "UploadId");
    if (uploadId !== undefined) return { uploadId, takesSha256Uploads };
  }
  return { uploadId: undefined, takesSha256Uploads: false };
}

/** It may answer otherwise later. */
function isAway(failure: S3Failure): boolean {
  return failure.class === "unavailable" && failure.httpStatus !== 501;
}

/**
 * A server of the old kind may store the chunks' frames as the object: only one that returns the SHA-256 understood.
 */
async function areTrailersCompared(client: S3Client, part: S3Request, signal: AbortSignal): Promise<boolean> {
  const send = (sha256: string) => {
    const body = trailerBody(SAMPLE.byteLength, piecesOf(SAMPLE), () => sha256);
    return answerTo(client.exchange({ ...part, ...body }, signal));
  };
  const right = await send(SAMPLE_SHA256);
  if (right instanceof S3Failure || right.headers.get(SHA256_HEADER) !== base64OfHex(SAMPLE_SHA256)) return false;
  return isRefused(await send(OTHER_SHA256));
}

/** The right hash was taken: a body that is refused now is refused for its hash. */
function isRefused(answer: S3Answer | S3Failure): boolean {
  return answer instanceof S3Failure && answer.httpStatus !== undefined && answer.httpStatus < 500 && !isGone(answer);
}

/** Somebody aborted the upload, so that the answer tells nothing about hashes. */
function isGone(answer: S3Answer | S3Failure): boolean {
  return answer instanceof S3Failure && answer.httpStatus === 404;
}

async function isWrongHashRefused(client: S3Client, part: S3Request, signal: AbortSignal): Promise<boolean> {
  return isRefused(await answerTo(client.exchange({ ...part, body: SAMPLE, payloadHash: OTHER_SHA256 }, signal)));
}

async function answerTo(answer: Promise<S3Answer>): Promise<S3Answer | S3Failure> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof S3Failure) return error;
    throw error;
  }
}

/** A body at hand, as one piece. */
export function piecesOf(bytes: Uint8Array): BodySource {
  let rest: Uint8Array | undefined = bytes;
  return {
    next() {
      const piece = rest;
      rest = undefined;
      return Promise.resolve(piece);
    },
  };
}
