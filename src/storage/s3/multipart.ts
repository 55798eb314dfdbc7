import { Failure } from "../../jobs/failure.ts";
import type { ObjectRef, StoredObject, Upload, UploadOptions } from "../../jobs/object-store.ts";
import { declaredSize } from "../declared-size.ts";
import { cleanUp } from "./clean-up.ts";
import { checksumHeaders, digestsOf, SHA256_HEADER, sha256Of } from "./client/copy-checks.ts";
import type { S3Client, S3Request } from "./client/s3-client.ts";
import { refusal, S3Failure } from "./client/s3-failure.ts";
import type { UploadToCome } from "./client/server-probe.ts";
import type { ServerTraits } from "./client/server-traits.ts";
import { escapeXml, textOf } from "./client/xml.ts";
import { confirmCopy } from "./confirm-copy.ts";
import { bareEtag } from "./metadata.ts";
import type { PartBuffers } from "./part-buffers.ts";
import { createUploadVerification } from "./upload-verification.ts";
import { createVisibly } from "./visibility.ts";
import { putWhole } from "./whole-put.ts";

const PARTS_MAX = 10_000;
const MIB = 1024 * 1024;
/** Where an object's size is not known, parts grow with the limit up to here: 640 GB in 10,000 of them. */
const UNKNOWN_PART_BYTES_MAX = 64 * MIB;

/** The size of all parts of an object but the last one; some servers (Cloudflare R2) take no others. In whole MiB. */
export function partBytesFor(parts: { bytes: number; objectBytesMax: number }, size: number | undefined): number {
  const largest = size ?? Math.min(parts.objectBytesMax, UNKNOWN_PART_BYTES_MAX * PARTS_MAX);
  return Math.max(parts.bytes, Math.ceil(largest / PARTS_MAX / MIB) * MIB);
}

interface SentPart {
  /** Without quotes. */
  readonly etag: string;
  /** Base64, where the server returned it: one that ignored the header refuses the completion for it (Swift). */
  readonly sha256: string | undefined;
  readonly isProven: boolean;
}

/** By `UploadOptions`. */
export type Tracking = Pick<UploadOptions, "token" | "onBegin" | "onProbe" | "onClosed" | "alone">;

export interface MultipartOptions extends Tracking {
  /** Declared size in bytes, any. */
  readonly size: number | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly traits: ServerTraits;
  readonly buffers: PartBuffers;
  /** Of all parts but the last one. */
  readonly partBytes: number;
  readonly signal: AbortSignal;
  /** Awaited as soon as the upload has an id, before its first part goes out. */
  readonly onCreate: (uploadId: string) => Promise<void>;
  /** Ends an upload of this key; without an id every one. Idempotent. */
  readonly abortUpload: (uploadId: string, signal: AbortSignal) => Promise<void>;
}

/**
 * An upload in parts, completed only by `commit`. One part is filled while one is on its way, where there is memory for
 * two. An object that turns out to fit into one part is a single PUT at `commit`.
 */
export function createMultipart(client: S3Client, ref: ObjectRef, options: MultipartOptions): Upload {
  const { bucket, key } = ref;
  const { signal, traits, buffers, onProbe } = options;
  const bufferBytes = Math.max(1, Math.min(options.size ?? options.partBytes, options.partBytes));
  const receipt = createUploadVerification(client, ref, options.token);
  const visibly = createVisibly(options.onBegin);
  const headers = { ...options.headers, ...receipt.headers };
  const count = declaredSize(options.size);
  const stop = new AbortController();
  const sending = AbortSignal.any([signal, stop.signal]);
  const parts: SentPart[] = [];
  let filling: Buffer | undefined;
  let filled = 0;
  /** Buffers that are ours and not in use: two at most. */
  const spares: Buffer[] = [];
  let onItsWay: Promise<void> = Promise.resolve();
  let working: Promise<unknown> = Promise.resolve();
  let uploadId: string | undefined;
  let creations = 0;
  /** Whether the record by the key alone still stands for the upload that has an id. */
  let isUnrecorded = false;
  let broken: { readonly error: unknown } | undefined;
  let outcome: "open" | "uncertain" | "stored" | "given up" = "open";

  async function write(chunk: Uint8Array): Promise<void> {
    assertUsable();
    count.add(chunk.byteLength);
    for (let rest = chunk; rest.byteLength > 0; ) {
      // Only now it is certain that the part is not the last one, which `commit` sends.
      if (filling !== undefined && filled === filling.byteLength) await sendFilled(filling);
      filling ??= await nextBuffer();
      const piece = rest.subarray(0, filling.byteLength - filled);
      filling.set(piece, filled);
      filled += piece.byteLength;
      rest = rest.subarray(piece.byteLength);
    }
  }

  /** The first buffer is waited for in line; a second one is taken where there is room, else the first comes back. */
  async function nextBuffer(): Promise<Buffer> {
    if (uploadId === undefined) return buffers.take(bufferBytes, sending);
    const free = spares.pop() ?? buffers.takeNow(bufferBytes);
    if (free !== undefined) return free;
    await onItsWay;
    return spares.pop() ?? buffers.take(bufferBytes, sending);
  }

  function giveBuffersBack(): void {
    if (filling !== undefined) spares.push(filling);
    filling = undefined;
    for (const buffer of spares.splice(0)) buffers.giveBack(buffer);
  }

  function assertUsable(): void {
    if (broken !== undefined) throw broken.error;
    signal.throwIfAborted();
  }

  async function sendFilled(part: Buffer): Promise<void> {
    await onItsWay;
    const number = parts.length + 1;
    if (number > PARTS_MAX) throw new Failure("DOWNLOAD_TOO_LARGE", "the object needs more parts than S3 allows");
    const id = uploadId ?? (await create());
    onItsWay = sendPart(id, number, part, filled);
    onItsWay.catch(() => undefined);
    filling = undefined;
    filled = 0;
  }

  async function create(): Promise<string> {
    await traits.learn(client, { ref, headers, signal: sending, onProbe });
    const algorithm = traits.takesSha256Uploads ? { "x-amz-checksum-algorithm": "SHA256" } : {};
    const request: S3Request = {
      method: "POST",
      bucket,
      key,
      query: { uploads: "" },
      headers: { ...headers, ...algorithm },
    };
    const { text } = await client.retrying(async () => {
      creations++;
      try {
        return await client.exchange(request, sending);
      } catch (error) {
        if (error instanceof S3Failure && !error.isUncertain) creations--; // refused: nothing is open
        throw error;
      }
    }, sending);
    const id = textOf(text, "UploadId");
    if (id === undefined) throw refusal({ method: "POST", bucket }, 200, text);
    uploadId = id;
    isUnrecorded = true;
    await options.onCreate(id);
    isUnrecorded = false;
    return id;
  }

  async function sendPart(id: string, number: number, part: Buffer, bytes: number): Promise<void> {
    const request = { method: "PUT", bucket, key, query: { partNumber: String(number), uploadId: id } } as const;
    const upload = { ref, headers, signal: sending, onProbe };
    try {
      parts.push(await sendProven(client, { request, body: part.subarray(0, bytes), traits, upload }));
    } finally {
      spares.push(part);
    }
  }

  async function finish(): Promise<StoredObject> {
    assertUsable();
    const bytes = count.total();
    if (uploadId === undefined) return putAll(filling?.subarray(0, bytes) ?? Buffer.alloc(0));
    if (filling !== undefined) await sendFilled(filling);
    await onItsWay;
    return complete(bytes, uploadId);
  }

  function putAll(body: Buffer): Promise<StoredObject> {
    outcome = "uncertain";
    const exchange = (request: S3Request) => visibly(() => client.exchange(request, sending));
    return putWhole(client, { ref, body, headers, traits, signal: sending, onProbe, exchange });
  }

  async function complete(bytes: number, id: string): Promise<StoredObject> {
    outcome = "uncertain";
    const request: S3Request = {
      method: "POST",
      bucket,
      key,
      query: { uploadId: id },
      headers: { "content-type": "application/xml" },
      body: Buffer.from(completionOf(parts)),
    };
    const ask = () =>
      visibly(async () => {
        const { text } = await client.exchange(request, sending);
        // A completion that fails on its way has already begun to answer 200.
        const found = textOf(text, "ETag");
        if (found === undefined && !text.includes("<CompleteMultipartUploadResult")) throw refusal(request, 500, text);
        return bareEtag(found);
      });
    const completed = await client.retrying(async () => {
      try {
        return { etag: await ask() };
      } catch (error) {
        return { found: await foundAllTheSame(error) };
      }
    }, sending);
    if (completed.found !== undefined) return completed.found;
    const found = await confirmCopy(client, { ref, bytes, headers, traits, signal: sending, isProven: areProven() });
    return { ...found, etag: found.etag === "" ? completed.etag : found.etag };
  }

  /** An object is what its parts are, and has their size in all. */
  function areProven(): boolean {
    return parts.length > 0 && parts.every((part) => part.isProven);
  }

  /** An answer that got lost, or to a second try: the object may be there. */
  async function foundAllTheSame(error: unknown): Promise<StoredObject> {
    const isOpen = error instanceof S3Failure && (error.isUncertain || error.s3Code === "NoSuchUpload");
    const found = isOpen ? await receipt.find(sending).catch(() => undefined) : undefined;
    if (found === undefined || found.bytes !== count.total()) throw error;
    return areProven() ? { ...found, provenBy: "checksum" } : found;
  }

  async function commit(): Promise<StoredObject> {
    try {
      const stored = await finish().catch(foundAllTheSame);
      outcome = "stored";
      giveBuffersBack();
      if (uploadId !== undefined) options.onClosed?.(uploadId);
      await closeUnknown();
      return stored;
    } catch (error) {
      await abort();
      throw error;
    }
  }

  async function abort(): Promise<void> {
    if (outcome === "stored" || outcome === "given up") return;
    const wasUncertain = outcome === "uncertain";
    outcome = "given up";
    broken ??= { error: new Failure("UPLOAD_UNAVAILABLE", "the upload was given up") };
    stop.abort(broken.error);
    await Promise.allSettled([working, onItsWay]);
    giveBuffersBack();
    const id = uploadId;
    if (id !== undefined && (await cleanUp((own) => options.abortUpload(id, own)))) {
      isUnrecorded = false;
      options.onClosed?.(id);
    }
    await closeUnknown();
    if (wasUncertain) await receipt.withdraw();
  }

  /**
   * A creation whose answer got lost has left an upload whose id nobody knows, or leaves it in a while: its record
   * stays, whatever is found now. Nothing is aborted by its key where another attempt uploads.
   */
  async function closeUnknown(): Promise<void> {
    if (!isUnrecorded && creations === (uploadId === undefined ? 0 : 1)) return options.onClosed?.("");
    const abortAll = async () => void (await cleanUp((own) => options.abortUpload("", own)));
    await (options.alone ?? ((work) => work()))(abortAll);
  }

  return {
    write(chunk) {
      const written = write(chunk).catch((error: unknown) => {
        broken ??= { error };
        throw error;
      });
      working = written.catch(() => undefined);
      return written;
    },
    commit,
    abort,
  };
}

interface PartToSend {
  readonly request: Pick<S3Request, "method" | "bucket" | "key" | "query">;
  readonly body: Uint8Array;
  readonly traits: ServerTraits;
  readonly upload: UploadToCome;
}

/** Sends a part, again where it arrived as something else. */
async function sendProven(client: S3Client, { request, body, traits, upload }: PartToSend): Promise<SentPart> {
  const digests = digestsOf(body, await sha256Of(body));
  return client.retrying(async () => {
    const { headers } = await traits.withChecksum("part", (checksum) => {
      const sent = checksumHeaders(checksum, digests);
      return client.exchange({ ...request, headers: sent, body, payloadHash: digests.sha256 }, upload.signal);
    });
    const isProven = await traits.isProven(client, upload, headers, digests);
    return { etag: bareEtag(headers.get("etag")), sha256: headers.get(SHA256_HEADER), isProven };
  }, upload.signal);
}

function completionOf(parts: readonly SentPart[]): string {
  const elements = parts.map(({ etag, sha256 }, i) => {
    const checksum = sha256 === undefined ? "" : `<ChecksumSHA256>${sha256}</ChecksumSHA256>`;
    return `<Part><PartNumber>${i + 1}</PartNumber><ETag>"${escapeXml(etag)}"</ETag>${checksum}</Part>`;
  });
  return `<CompleteMultipartUpload>${elements.join("")}</CompleteMultipartUpload>`;
}
