import { randomUUID } from "node:crypto";
import { CHECK_FOLDER } from "../../../jobs/object-key.ts";
import { errorText } from "../../../std/error-text.ts";
import { type CheckStep, runSteps, type Step, StepFailure, type StepFinding } from "../../check-step.ts";
import { checkBucket } from "../check-bucket.ts";
import { S3Client } from "../client/s3-client.ts";
import { S3Failure } from "../client/s3-failure.ts";
import { fixedCredentials } from "../credentials/credential-source.ts";
import { withoutLocks } from "../metadata.ts";
import { createS3Store, type S3StoreOptions } from "../s3-store.ts";
import { checksumSteps } from "./checksum-steps.ts";
import { cutSteps } from "./cut-put.ts";
import { multipartSteps } from "./multipart-steps.ts";
import { removalSteps, writingSteps } from "./object-steps.ts";
import { Probe } from "./probe.ts";

export interface StorageCheckOptions extends S3StoreOptions {
  readonly bucket: string;
  readonly signal: AbortSignal;
}

/**
 * Tries every operation that FetchBox needs of an S3 service, under a prefix of its own. It removes its objects at the
 * end, also after the signal and where its caller stops reading.
 */
export async function* checkStorage(options: StorageCheckOptions): AsyncGenerator<CheckStep> {
  const { bucket, signal } = options;
  // The same keys to the end, so that no line can show others.
  const keys = await options.credentials.current(signal);
  const service = { ...options, credentials: fixedCredentials(keys) };
  const client = new S3Client(service);
  const headers = withoutLocks(options.objectHeaders?.all ?? {});
  const probe = new Probe({
    ...options,
    client,
    store: createS3Store({ ...service, objectHeaders: { all: headers, byJobType: new Map() } }),
    prefix: `${CHECK_FOLDER}${randomUUID()}/`,
    objectHeaders: headers,
    secrets: [keys.accessKeyId, keys.secretAccessKey, keys.sessionToken ?? ""],
  });
  const steps: readonly Step[] = [
    { name: "bucket", run: () => bucketStep(client, bucket, signal) },
    ...writingSteps(probe),
    ...checksumSteps(probe),
    ...cutSteps(probe),
    ...multipartSteps(probe),
    ...removalSteps(probe),
  ];
  let left: readonly string[] = [];
  try {
    yield* runSteps(steps, signal);
  } finally {
    left = await probe.cleanUp();
  }
  yield left.length === 0
    ? { name: "clean up", result: "ok", detail: "everything is removed" }
    : { name: "clean up", result: "failed", detail: `could not be removed: ${left.join("; ")}` };
}

/** The question that readiness asks. */
async function bucketStep(client: S3Client, bucket: string, signal: AbortSignal): Promise<StepFinding> {
  try {
    const doubt = await checkBucket(client, bucket, signal);
    return doubt === undefined ? "it is there" : { note: doubt };
  } catch (error) {
    // Where the service does not answer, each further step would only wait as long.
    const isSilent = error instanceof S3Failure && error.httpStatus === undefined;
    throw new StepFailure(errorText(error), { isFinal: isSilent, cause: error });
  }
}
