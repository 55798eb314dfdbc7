import { Failure } from "../../jobs/failure.ts";
import { keyProblem } from "../../jobs/object-key.ts";
import type { ObjectInfo, ObjectRef, OpenUpload } from "../../jobs/object-store.ts";
import type { S3Client } from "./client/s3-client.ts";
import { S3Failure, unreachable } from "./client/s3-failure.ts";
import { openUploadsOf } from "./list-objects.ts";
import { bareEtag, labelsOf } from "./metadata.ts";
import { objectStream } from "./object-stream.ts";

/** Reads and removes the objects and the open uploads that S3 holds. */
export class S3Objects {
  readonly #client: S3Client;

  constructor(client: S3Client) {
    this.#client = client;
  }

  async head(ref: ObjectRef, signal: AbortSignal): Promise<ObjectInfo | undefined> {
    assertUsableKey(ref);
    const { bucket, key } = ref;
    return unlessMissing(["", "NoSuchKey"], async () => {
      const ask = () => this.#client.exchange({ method: "HEAD", bucket, key }, signal);
      const { headers } = await this.#client.retrying(ask, signal);
      const bytes = Number(headers.get("content-length"));
      return { bucket, key, bytes, etag: bareEtag(headers.get("etag")), labels: labelsOf(headers) };
    });
  }

  async read(ref: ObjectRef, signal: AbortSignal): Promise<ReadableStream<Uint8Array> | undefined> {
    assertUsableKey(ref);
    return unlessMissing(["NoSuchKey"], () => this.#client.retrying(() => this.#get(ref, signal), signal));
  }

  async #get({ bucket, key }: ObjectRef, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const request = { method: "GET", bucket, key } as const;
    const clock = this.#client.deadline(request, signal);
    try {
      const response = await this.#client.send(request, clock);
      const failure = (error: unknown) =>
        clock.signal.aborted ? clock.signal.reason : unreachable(request, response.address, error);
      return objectStream(response.body, clock, failure);
    } catch (error) {
      clock.end();
      throw error;
    }
  }

  async remove(ref: ObjectRef, signal: AbortSignal): Promise<void> {
    assertUsableKey(ref);
    const { bucket, key } = ref;
    const ask = () => this.#client.exchange({ method: "DELETE", bucket, key }, signal);
    await unlessMissing(["", "NoSuchKey"], () => this.#client.retrying(ask, signal));
  }

  /** Removes the parts of an open upload; with an empty id, of every upload that is open under the key. */
  async abortUpload({ bucket, key, uploadId }: OpenUpload, signal: AbortSignal): Promise<void> {
    assertUsableKey({ bucket, key });
    const uploadIds = uploadId === "" ? await openUploadsOf(this.#client, { bucket, key }, signal) : [uploadId];
    for (const id of uploadIds) {
      const ask = () => this.#client.exchange({ method: "DELETE", bucket, key, query: { uploadId: id } }, signal);
      await unlessMissing(["NoSuchUpload"], () => this.#client.retrying(ask, signal));
    }
  }
}

/** @throws Failure HANDLER_ERROR where no object can have that key */
export function assertUsableKey({ bucket, key }: ObjectRef): void {
  const problem = keyProblem(key);
  if (problem !== undefined) throw new Failure("HANDLER_ERROR", `bucket ${bucket}: the key ${problem}`);
}

/** The result; `undefined` where S3 answers 404 with one of these codes. "" is a 404 without a body, as to HEAD. */
async function unlessMissing<T>(s3Codes: readonly string[], work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof S3Failure && error.httpStatus === 404 && s3Codes.includes(error.s3Code)) return undefined;
    throw error;
  }
}
