import type { UploadOptions, UploadTracking } from "../../../jobs/object-store.ts";
import { sha256Of } from "../../../std/digest.ts";
import { cleanUp } from "../clean-up.ts";
import { type CompletedPart, completionBody } from "../client/completion-body.ts";
import { checksumHeaders, digestsOf, SHA256_HEADER } from "../client/copy-checks.ts";
import type { S3Client, S3Request } from "../client/s3-client.ts";
import { refusal, S3Failure } from "../client/s3-failure.ts";
import type { UploadToCome } from "../client/server-probe.ts";
import type { ServerTraits } from "../client/server-traits.ts";
import { textOf } from "../client/xml.ts";
import { bareEtag } from "../metadata.ts";

/** Its signal aborts every request but those that clean up. */
export interface SessionOptions extends UploadToCome, Pick<UploadTracking, "alone">, Pick<UploadOptions, "onClosed"> {
  readonly traits: ServerTraits;
  /** Awaited as soon as the upload has an id, before its first part goes out. */
  readonly onCreate: (uploadId: string) => Promise<void>;
  /** Ends an upload of this key; with an empty id every upload of the key. Idempotent. */
  readonly abortUpload: (uploadId: string, signal: AbortSignal) => Promise<void>;
}

interface SentPart extends CompletedPart {
  readonly isProven: boolean;
}

/** One multipart upload as S3 holds it, from its creation to its end. */
export class MultipartSession {
  readonly #client: S3Client;
  readonly #options: SessionOptions;
  readonly #parts: SentPart[] = [];
  /** Creations that S3 may have carried out: more than one where a response was lost. */
  #creations = 0;
  #uploadId: string | undefined;
  /** Whether the record by the key alone still stands for the upload that has an id. */
  #isUnrecorded = false;

  constructor(client: S3Client, options: SessionOptions) {
    this.#client = client;
    this.#options = options;
  }

  /** How many parts S3 holds. */
  get parts(): number {
    return this.#parts.length;
  }

  /** Whether S3 proved every part. The object consists of its parts, and has their size in all. */
  get isProven(): boolean {
    return this.#parts.length > 0 && this.#parts.every((part) => part.isProven);
  }

  async create(): Promise<void> {
    const { ref, headers, traits, signal, onCreate } = this.#options;
    await traits.learn(this.#client, this.#options);
    const algorithm = traits.takesSha256Uploads ? { "x-amz-checksum-algorithm": "SHA256" } : {};
    const request: S3Request = {
      method: "POST",
      bucket: ref.bucket,
      key: ref.key,
      query: { uploads: "" },
      headers: { ...headers, ...algorithm },
    };
    const text = await this.#client.retrying(() => this.#tryCreation(request), signal);
    const uploadId = textOf(text, "UploadId");
    if (uploadId === undefined) throw refusal(request, 200, text);
    this.#uploadId = uploadId;
    this.#isUnrecorded = true;
    await onCreate(uploadId);
    this.#isUnrecorded = false;
  }

  async #tryCreation(request: S3Request): Promise<string> {
    this.#creations++;
    try {
      return (await this.#client.exchange(request, this.#options.signal)).text;
    } catch (error) {
      if (error instanceof S3Failure && !error.isUncertain) this.#creations--; // refused: no upload is open
      throw error;
    }
  }

  /** Sends the next part; sends it again where S3 received other bytes. */
  async sendPart(body: Uint8Array): Promise<void> {
    const { ref, traits, signal } = this.#options;
    const query = { partNumber: String(this.#parts.length + 1), uploadId: this.#uploadId ?? "" };
    const digests = digestsOf(body, await sha256Of(body));
    const part = await this.#client.retrying(async () => {
      const answer = await traits.withChecksum("part", (checksum) => {
        const sent = { headers: checksumHeaders(checksum, digests), body, payloadHash: digests.sha256 };
        return this.#client.exchange({ method: "PUT", bucket: ref.bucket, key: ref.key, query, ...sent }, signal);
      });
      const isProven = await traits.isProven(this.#client, this.#options, answer.headers, digests);
      return { etag: bareEtag(answer.headers.get("etag")), sha256: answer.headers.get(SHA256_HEADER), isProven };
    }, signal);
    this.#parts.push(part);
  }

  /** Asks S3 once to make the object of its parts, and returns its ETag. */
  async complete(): Promise<string> {
    const { ref, signal } = this.#options;
    const request: S3Request = {
      method: "POST",
      bucket: ref.bucket,
      key: ref.key,
      query: { uploadId: this.#uploadId ?? "" },
      headers: { "content-type": "application/xml" },
      body: completionBody(this.#parts),
    };
    const { text } = await this.#client.exchange(request, signal);
    // S3 begins its 200 before it knows whether the completion succeeds.
    const etag = textOf(text, "ETag");
    if (etag === undefined && !text.includes("<CompleteMultipartUploadResult")) throw refusal(request, 500, text);
    return bareEtag(etag);
  }

  /** The upload was completed. */
  async close(): Promise<void> {
    if (this.#uploadId !== undefined) this.#options.onClosed?.(this.#uploadId);
    await this.#closeUnknown();
  }

  /** Removes what S3 holds of the upload. Never throws. */
  async abort(): Promise<void> {
    const { abortUpload, onClosed } = this.#options;
    const uploadId = this.#uploadId;
    if (uploadId !== undefined && (await cleanUp((own) => abortUpload(uploadId, own)))) {
      this.#isUnrecorded = false;
      onClosed?.(uploadId);
    }
    await this.#closeUnknown();
  }

  /**
   * A creation whose response was lost has left an upload with an unknown id, or leaves it in a while: its record
   * stays, whatever is found now. Nothing is aborted by its key where another attempt uploads.
   */
  async #closeUnknown(): Promise<void> {
    const { onClosed, alone, abortUpload } = this.#options;
    const hasUnknown = this.#isUnrecorded || this.#creations !== (this.#uploadId === undefined ? 0 : 1);
    if (!hasUnknown) return onClosed?.("");
    const abortAll = async () => void (await cleanUp((own) => abortUpload("", own)));
    await (alone === undefined ? abortAll() : alone(abortAll));
  }
}
