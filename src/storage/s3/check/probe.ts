import type { ObjectStore, StoredObject } from "../../../jobs/object-store.ts";
import type { Clock } from "../../../std/clock.ts";
import { base64OfHex, sha256Hex } from "../../../std/digest.ts";
import { errorText } from "../../../std/error-text.ts";
import { StepFailure } from "../../check-step.ts";
import { isPage } from "../check-bucket.ts";
import { SHA256_HEADER } from "../client/copy-checks.ts";
import { isSuccess, otherRegion, type S3Client, type S3Request } from "../client/s3-client.ts";
import { hintFor, s3CodeIn } from "../client/s3-failure.ts";
import { elementsOf, textOf } from "../client/xml.ts";
import { replyText, type TimedReply } from "./reply-text.ts";

/** The body that the steps store: 11 bytes. */
export const BODY = Buffer.from("fetchbox ok");

interface ProbeOptions {
  readonly client: S3Client;
  /** The same service, for the removal of the probe's objects. */
  readonly store: Pick<ObjectStore, "put" | "head" | "remove" | "abortUpload">;
  readonly bucket: string;
  /** That requests are signed for. */
  readonly region: string;
  /** Before every key; ends in `/`. */
  readonly prefix: string;
  readonly signal: AbortSignal;
  readonly clock: Pick<Clock, "monotonic">;
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  /** The headers that the configuration sends with every object. */
  readonly objectHeaders: Readonly<Record<string, string>>;
  /** Values that no line may show. */
  readonly secrets: readonly string[];
}

export interface ProbeRequest extends Omit<S3Request, "bucket" | "key"> {
  /** The key without the prefix; absent for the bucket. */
  readonly name?: string;
}

interface Version {
  readonly key: string;
  readonly versionId: string;
}

/** All of the removal together: a server that hangs does not hold the command up for long. */
const CLEAN_UP_MS = 30_000;

/** Sends requests to one bucket under a prefix of its own, and records the objects to remove. */
export class Probe {
  readonly #options: ProbeOptions;
  readonly #keys = new Set<string>();
  readonly #versions: Version[] = [];
  /** Open uploads: their keys by id, or by a name of their own where the answer with the id got lost. */
  readonly #uploads = new Map<string, { readonly key: string; readonly uploadId: string }>();

  constructor(options: ProbeOptions) {
    this.#options = options;
  }

  get bucket(): string {
    return this.#options.bucket;
  }

  get prefix(): string {
    return this.#options.prefix;
  }

  wait(ms: number): Promise<void> {
    return this.#options.wait(ms, this.#options.signal);
  }

  /** One request and its answer, a refusal included. Rejects where there is no answer. */
  async ask({ name, ...request }: ProbeRequest): Promise<TimedReply> {
    const { client, bucket, prefix, clock, signal } = this.#options;
    const key = name === undefined ? undefined : prefix + name;
    const isNew = key !== undefined && isWrite(request) && !this.#keys.has(key);
    if (isNew) this.#keys.add(key);
    const begun = clock.monotonic();
    const reply = await client.ask({ ...request, ...(key !== undefined && { key }), bucket }, signal);
    // A refused object needs no removal.
    if (isNew && reply.status >= 300 && reply.status <= 499) this.#keys.delete(key);
    this.#noteVersion(key, reply);
    return { ...reply, ms: clock.monotonic() - begun };
  }

  put(name: string, { headers, ...more }: Partial<ProbeRequest> = {}): Promise<TimedReply> {
    return this.ask({
      method: "PUT",
      name,
      body: BODY,
      headers: { ...this.#options.objectHeaders, ...headers },
      ...more,
    });
  }

  /** Stores it by the service's own rules. Rejects with the service's failure. */
  async store(name: string): Promise<StoredObject> {
    const { store, bucket, signal } = this.#options;
    const key = this.prefix + name;
    this.#keys.add(key);
    const stored = await store.put({ bucket, key }, BODY, { contentType: "text/plain", signal });
    // Its version has to be removed, too.
    await this.ask({ method: "HEAD", name });
    return stored;
  }

  putPart(name: string, number: number, uploadId: string, body: Buffer): Promise<TimedReply> {
    return this.ask({ method: "PUT", name, body, query: { partNumber: String(number), uploadId } });
  }

  /** Asks for an upload in parts. */
  create(name: string): Promise<TimedReply> {
    return this.ask({ method: "POST", name, query: { uploads: "" }, headers: this.#options.objectHeaders });
  }

  /** Remembers an upload, of unknown id ("") until the answer is there. */
  opened(name: string, uploadId = ""): void {
    const key = this.prefix + name;
    this.#uploads.delete(key);
    this.#uploads.set(uploadId === "" ? key : uploadId, { key, uploadId });
  }

  ended(uploadId: string): void {
    this.#uploads.delete(uploadId);
  }

  /** The answer in the server's words. */
  said(reply: TimedReply): string {
    return replyText(reply, this.#options.secrets);
  }

  /** Throws unless the answer is a success, and one of S3. `right` is the permission that the request needs. */
  must(reply: TimedReply, method: string, right: string): void {
    if (isSuccess(reply) && !isPage(reply)) return;
    const body = reply.body.toString("utf8");
    if (isSuccess(reply)) throw notS3(this.said(reply));
    // A refusal of HEAD has no body with a code.
    const isDenied = s3CodeIn(body) === "AccessDenied" || (method === "HEAD" && reply.status === 403);
    const hint = isDenied
      ? `give these credentials the right ${right}`
      : hintFor(method, reply.status, body, otherRegion(reply, this.#options.region));
    throw new StepFailure(hint === undefined ? this.said(reply) : `${this.said(reply)}: ${hint}`);
  }

  /**
   * Length of the object, or `undefined` where there is none. Only for credentials that are known to see their objects:
   * then a 403 says no more than that they may not list.
   */
  async visibleBytes(name: string): Promise<number | undefined> {
    const reply = await this.ask({ method: "HEAD", name });
    if (reply.status === 404 || reply.status === 403) return undefined;
    this.must(reply, "HEAD", "s3:GetObject");
    this.#keys.add(this.prefix + name);
    return Number(reply.headers.get("content-length"));
  }

  /** Removes every object and upload of the probe, also after the signal. Returns those that stay. */
  async cleanUp(): Promise<readonly string[]> {
    const { store, bucket } = this.#options;
    const signal = AbortSignal.timeout(CLEAN_UP_MS);
    const left: string[] = [];
    const attempt = async (what: string, work: () => Promise<unknown>) => {
      try {
        await work();
      } catch (error) {
        left.push(`${what} (${errorText(error)})`);
      }
    };
    for (const { key, uploadId } of this.#uploads.values()) {
      await attempt(`an open upload of ${key}`, () => store.abortUpload({ bucket, key, uploadId }, signal));
    }
    for (const key of this.#keys) await attempt(key, () => this.#remove(key, signal));
    for (const { key, versionId } of await this.#versionsLeft(signal)) {
      await attempt(`a version of ${key}`, () =>
        this.#options.client.exchange({ method: "DELETE", bucket, key, query: { versionId } }, signal),
      );
    }
    return left;
  }

  /** An object that cannot be removed may not exist. */
  async #remove(key: string, signal: AbortSignal): Promise<void> {
    const { store, bucket, client } = this.#options;
    const reply = await client.ask({ method: "DELETE", bucket, key }, signal);
    this.#noteVersion(key, reply);
    if (isSuccess(reply) || (await store.head({ bucket, key }, signal)) === undefined) return;
    await store.remove({ bucket, key }, signal);
  }

  /** A cut upload may have left one with an unknown id. Where uploads may not be listed, only known ones are found. */
  async #versionsLeft(signal: AbortSignal): Promise<readonly Version[]> {
    if (this.#versions.length === 0) return [];
    const query = { versions: "", prefix: this.prefix };
    const reply = await this.#options.client
      .ask({ method: "GET", bucket: this.#options.bucket, query }, signal)
      .catch(() => undefined);
    if (reply === undefined || !isSuccess(reply)) return this.#versions;
    const xml = reply.body.toString("utf8");
    for (const element of [...elementsOf(xml, "Version"), ...elementsOf(xml, "DeleteMarker")]) {
      this.#addVersion(textOf(element, "Key"), textOf(element, "VersionId"));
    }
    return this.#versions;
  }

  /** In a bucket with versions every write, and every removal, leaves one. */
  #noteVersion(key: string | undefined, { headers }: Pick<TimedReply, "headers">): void {
    this.#addVersion(key, headers.get("x-amz-version-id"));
  }

  #addVersion(key: string | undefined, versionId: string | undefined): void {
    if (key === undefined || versionId === undefined || versionId === "null") return;
    if (!this.#versions.some((seen) => seen.versionId === versionId)) this.#versions.push({ key, versionId });
  }
}

function isWrite({ method }: ProbeRequest): boolean {
  return method === "PUT" || method === "POST";
}

export function notS3(said: string): StepFailure {
  return new StepFailure(`${said}: an answer that is not S3's: check storage.endpoint`);
}

/** By which a server that knows it checks the body. */
export function sha256Header(summed: Uint8Array): Record<string, string> {
  return { [SHA256_HEADER]: base64OfHex(sha256Hex(summed)) };
}
