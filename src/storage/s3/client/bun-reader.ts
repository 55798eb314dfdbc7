import { S3Client as BunS3Client, type S3ListObjectsResponse } from "bun";
import type { ObjectRef, ObjectStore } from "../../../jobs/object-store.ts";
import { unlessAborted } from "../../../std/unless-aborted.ts";
import { type AskPage, keyAsListed, listObjects, type ObjectPage, ownPages, PAGE_KEYS } from "../list-objects.ts";
import { bareEtag } from "../metadata.ts";
import { objectStream } from "../object-stream.ts";
import { createPermits } from "./permits.ts";
import type { Deadline } from "./request-deadline.ts";
import { S3Client, type S3ClientOptions } from "./s3-client.ts";
import { unreachable } from "./s3-failure.ts";
import { serviceUrl } from "./service-endpoint.ts";

/** Lists and reads objects, as a check of the storage needs it. */
export type ObjectReader = Pick<ObjectStore, "list" | "read">;

/** Requests at a time. Bun lets 256 of the whole process run, `fetch` included. */
const REQUESTS_MAX = 8;
/** A presigned URL is used at once; clocks may differ. */
const PRESIGNED_SECONDS = 900;

export type Environment = Record<string, string | undefined>;

/**
 * Reads through Bun's built-in S3 client where that is safe; docs/develop/dependencies.md lists where it is not. Our
 * own client repeats every request that Bun's refuses, fails or answers too slowly, and its answer counts. So results
 * and failures are the same as with `own` alone. Bun obeys the proxies of the process's environment, which our own
 * client does not: they are deleted.
 */
export function createBunReader(options: S3ClientOptions, own: ObjectReader, environment: Environment): ObjectReader {
  if (!isSafe(options, environment)) return own;
  // Bun looks for them at each request.
  for (const name of Object.keys(environment)) {
    if (/^(?:https?|all)_proxy$/i.test(name)) delete environment[name];
  }
  const reader = new BunReader(options, own);
  const ask: AskPage = (request, signal) => reader.page(request, signal);
  return {
    list: (bucket, prefix, signal) => listObjects(ask, { bucket, prefix }, signal),
    read: (ref, signal) => reader.read(ref, signal),
  };
}

/** Bun's client takes no authorities and no headers of ours, and a session token of the environment for one of ours. */
function isSafe({ ca = [], headers = {} }: S3ClientOptions, environment: Environment): boolean {
  const { S3_SESSION_TOKEN, AWS_SESSION_TOKEN } = environment;
  return ca.length === 0 && Object.keys(headers).length === 0 && !S3_SESSION_TOKEN && !AWS_SESSION_TOKEN;
}

class BunReader {
  readonly #options: S3ClientOptions;
  readonly #own: ObjectReader;
  readonly #askOwn: AskPage;
  readonly #ownClient: S3Client;
  readonly #permits = createPermits(REQUESTS_MAX);
  /** A listing that took too long still runs and cannot be cancelled: no other one is started. */
  #isSilent = false;

  constructor(options: S3ClientOptions, own: ObjectReader) {
    this.#options = options;
    this.#own = own;
    this.#ownClient = new S3Client(options);
    this.#askOwn = ownPages(this.#ownClient);
  }

  async page(request: Parameters<AskPage>[0], signal: AbortSignal): Promise<ObjectPage> {
    const { bucket, prefix, token } = request;
    const listed = await this.#attempt(bucket, signal, async (client, clock) => {
      const listing = client.list({
        prefix,
        maxKeys: PAGE_KEYS,
        encodingType: "url",
        ...(token !== undefined && { continuationToken: token }),
      });
      const page = pageOf(await unlessAborted(listing, clock.signal));
      clock.end();
      return page;
    });
    return listed ?? (await this.#askOwn(request, signal));
  }

  /**
   * The object of a presigned URL, by `fetch`: the client's own streams inflate what has a `Content-Encoding`, and
   * follow redirects.
   */
  async read(ref: ObjectRef, signal: AbortSignal): Promise<ReadableStream<Uint8Array> | undefined> {
    const { bucket, key } = ref;
    const stream = await this.#attempt(bucket, signal, async (client, clock) => {
      const url = client.presign(key, { method: "GET", expiresIn: PRESIGNED_SECONDS });
      const response = await fetch(url, { redirect: "manual", decompress: false, signal: clock.signal });
      const { status, headers, body } = response;
      if (status === 200 && isFramed(headers) && body !== null) return this.#stream(body, bucket, clock);
      await response.body?.cancel();
      return undefined;
    });
    return stream ?? (await this.#own.read(ref, signal));
  }

  /**
   * The result of Bun's client; `undefined` where our own client must be asked. Rejects as our own client does where
   * there are no keys.
   */
  async #attempt<T>(
    bucket: string,
    signal: AbortSignal,
    work: (client: BunS3Client, clock: Deadline) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    const client = await this.#clientOf(bucket, signal);
    if (client === undefined || this.#isSilent) return undefined;
    const release = await this.#permits.acquire(signal);
    const clock = onEnd(this.#ownClient.deadline({ method: "GET", bucket }, signal), release);
    try {
      const result = await work(client, clock);
      if (result === undefined) clock.end();
      return result;
    } catch {
      clock.end();
      signal.throwIfAborted();
      if (clock.signal.aborted) this.#isSilent = true;
      return undefined;
    }
  }

  #stream(body: ReadableStream<Uint8Array>, bucket: string, clock: Deadline): ReadableStream<Uint8Array> {
    const reader = body.getReader();
    const source = {
      read: async () => (await reader.read()).value,
      discard: () => void reader.cancel().catch(() => {}),
    };
    const { host } = serviceUrl(this.#options);
    return objectStream(source, clock, (error) =>
      // The error itself names the presigned URL.
      clock.signal.aborted
        ? clock.signal.reason
        : unreachable({ method: "GET", bucket }, host, new Error(codeOf(error))),
    );
  }

  /** Made anew for each request, which takes some microseconds. Redirects would carry a session token along. */
  async #clientOf(bucket: string, signal: AbortSignal): Promise<BunS3Client | undefined> {
    const { region, credentials, addressing } = this.#options;
    const { accessKeyId, secretAccessKey, sessionToken } = await credentials.current(signal);
    if (sessionToken !== undefined) return undefined;
    const { protocol, host, href } = serviceUrl(this.#options);
    const isVirtual = addressing === "virtual";
    const endpoint = isVirtual ? `${protocol}//${bucket}.${host}` : href;
    return new BunS3Client({ endpoint, bucket, region, virtualHostedStyle: isVirtual, accessKeyId, secretAccessKey });
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "the body ended early";
}

/** Where only the connection's end ends a body, `fetch` takes one that is cut off for whole. */
function isFramed(headers: Headers): boolean {
  return headers.has("content-length") || headers.has("transfer-encoding");
}

/** @throws where the answer is no listing of S3 */
function pageOf({
  contents = [],
  encodingType,
  isTruncated,
  nextContinuationToken,
}: S3ListObjectsResponse): ObjectPage {
  const isEncoded = encodingType === "url";
  const objects = contents.map(({ key, size, eTag }) => {
    if (size === undefined) throw new Error("the listing has an object without a size");
    return { key: keyAsListed(key, isEncoded), bytes: size, etag: bareEtag(eTag) };
  });
  return { objects, next: isTruncated === true ? nextContinuationToken : undefined };
}

/** The same clock, which calls `release` once when it ends. */
function onEnd(clock: Deadline, release: () => void): Deadline {
  let isEnded = false;
  return {
    ...clock,
    end() {
      clock.end();
      if (!isEnded) release();
      isEnded = true;
    },
  };
}
