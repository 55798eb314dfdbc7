import { declaredSize } from "../jobs/declared-size.ts";
import { Failure } from "../jobs/failure.ts";
import type { ObjectRef, StoredObject, Upload } from "../jobs/object-store.ts";
import { cleanUp } from "./clean-up.ts";
import type { S3Client, S3Request } from "./client.ts";
import { bareEtag } from "./metadata.ts";
import { createReceipt } from "./receipt.ts";
import { refusal, S3Failure } from "./s3-failure.ts";
import { escapeXml, textOf } from "./xml.ts";

const PARTS_MAX = 10_000;
const FIRST_PARTS_BYTES = 8 * 1024 * 1024;
const PARTS_OF_ONE_SIZE = 1000;
const FIRST_BUFFER_BYTES = 256 * 1024;

/** 8 MiB, and twice as much after every 1000 parts: 10,000 of them hold 8 TiB, and small objects cost little memory. */
export function partBytes(number: number): number {
  return FIRST_PARTS_BYTES * 2 ** Math.floor((number - 1) / PARTS_OF_ONE_SIZE);
}

export interface MultipartOptions {
  /** Declared size in bytes, any. */
  readonly size: number | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Awaited as soon as the upload has an id, before its first part goes out. */
  readonly onCreate: (uploadId: string) => Promise<void>;
  /** Ends an upload of this key; without an id every one. Idempotent. */
  readonly abortUpload: (uploadId: string, signal: AbortSignal) => Promise<void>;
}

/**
 * An upload in parts, completed only by `commit`. One part is filled while one is on its way: 16 MiB of
 * memory. What turns out to fit into one part is a single PUT at `commit`.
 */
export function createMultipart(client: S3Client, ref: ObjectRef, options: MultipartOptions): Upload {
  const { bucket, key } = ref;
  const { signal } = options;
  const receipt = createReceipt(client, ref);
  const headers = { ...options.headers, ...receipt.headers };
  const count = declaredSize(options.size);
  const stop = new AbortController();
  const sending = AbortSignal.any([signal, stop.signal]);
  const etags: string[] = [];
  let filling: Buffer = Buffer.allocUnsafeSlow(Math.min(options.size ?? FIRST_BUFFER_BYTES, FIRST_BUFFER_BYTES));
  let filled = 0;
  let spare: Buffer | undefined;
  let onItsWay: Promise<void> = Promise.resolve();
  let working: Promise<unknown> = Promise.resolve();
  let uploadId: string | undefined;
  let creations = 0;
  let broken: { readonly error: unknown } | undefined;
  let outcome: "open" | "uncertain" | "stored" | "given up" = "open";

  function newPart(number: number): Buffer {
    return Buffer.allocUnsafeSlow(partBytes(number));
  }

  /** Twice the room, up to a whole part: most bodies of unknown size are small. */
  function grow(): void {
    const larger = Buffer.allocUnsafeSlow(Math.min(filling.byteLength * 2, FIRST_PARTS_BYTES));
    larger.set(filling);
    filling = larger;
  }

  async function write(chunk: Uint8Array): Promise<void> {
    assertUsable();
    count.add(chunk.byteLength);
    for (let rest = chunk; rest.byteLength > 0; ) {
      if (filled === filling.byteLength) {
        if (filled < FIRST_PARTS_BYTES) grow();
        // Only now it is certain that the part is not the last one, which `commit` sends.
        else await sendFilled();
      }
      const piece = rest.subarray(0, filling.byteLength - filled);
      filling.set(piece, filled);
      filled += piece.byteLength;
      rest = rest.subarray(piece.byteLength);
    }
  }

  function assertUsable(): void {
    if (broken !== undefined) throw broken.error;
    signal.throwIfAborted();
  }

  async function sendFilled(): Promise<void> {
    await onItsWay;
    const number = etags.length + 1;
    if (number > PARTS_MAX) throw new Failure("DOWNLOAD_TOO_LARGE", "the object needs more parts than S3 allows");
    uploadId ??= await create();
    onItsWay = sendPart(uploadId, number, filling, filled);
    onItsWay.catch(() => undefined);
    const isLargeEnough = spare !== undefined && spare.byteLength >= partBytes(number + 1);
    filling = isLargeEnough && spare !== undefined ? spare : newPart(number + 1);
    spare = undefined;
    filled = 0;
  }

  async function create(): Promise<string> {
    const { text } = await client.retrying(() => {
      creations++;
      return client.exchange({ method: "POST", bucket, key, query: { uploads: "" }, headers }, sending);
    }, sending);
    const id = textOf(text, "UploadId");
    if (id === undefined) throw refusal({ method: "POST", bucket }, 200, text);
    await options.onCreate(id);
    return id;
  }

  async function sendPart(id: string, number: number, part: Buffer, bytes: number): Promise<void> {
    const query = { partNumber: String(number), uploadId: id };
    const body = part.subarray(0, bytes);
    const send = () => client.exchange({ method: "PUT", bucket, key, query, body }, sending);
    const answer = await client.retrying(send, sending);
    etags.push(bareEtag(answer.headers.get("etag")));
    spare = part;
  }

  async function finish(): Promise<StoredObject> {
    assertUsable();
    const bytes = count.total();
    if (uploadId === undefined && filled === bytes) return putWhole(bytes);
    if (filled > 0) await sendFilled();
    await onItsWay;
    return complete(bytes);
  }

  async function putWhole(bytes: number): Promise<StoredObject> {
    outcome = "uncertain";
    const body = filling.subarray(0, bytes);
    const answer = await client.retrying(
      () => client.exchange({ method: "PUT", bucket, key, headers, body }, sending),
      sending,
    );
    return { bytes, etag: bareEtag(answer.headers.get("etag")) };
  }

  async function complete(bytes: number): Promise<StoredObject> {
    outcome = "uncertain";
    const parts = etags.map(
      (etag, i) => `<Part><PartNumber>${i + 1}</PartNumber><ETag>"${escapeXml(etag)}"</ETag></Part>`,
    );
    const xml = `<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`;
    const request: S3Request = {
      method: "POST",
      bucket,
      key,
      query: { uploadId: uploadId ?? "" },
      headers: { "content-type": "application/xml" },
      body: Buffer.from(xml),
    };
    return client.retrying(async () => {
      try {
        const { text } = await client.exchange(request, sending);
        const etag = textOf(text, "ETag");
        // A completion that fails on its way has already begun to answer 200.
        if (etag === undefined) throw refusal(request, 500, text);
        // Ceph leaves it empty here.
        if (bareEtag(etag) === "") return (await receipt.find(sending)) ?? { bytes, etag: "" };
        return { bytes, etag: bareEtag(etag) };
      } catch (error) {
        return await foundAllTheSame(error);
      }
    }, sending);
  }

  /** An answer that got lost, or to a second try: the object may be there. */
  async function foundAllTheSame(error: unknown): Promise<StoredObject> {
    const isOpen = error instanceof S3Failure && (error.isUncertain || error.s3Code === "NoSuchUpload");
    const found = isOpen ? await receipt.find(sending).catch(() => undefined) : undefined;
    if (found === undefined) throw error;
    return found;
  }

  async function commit(): Promise<StoredObject> {
    try {
      const stored = await finish().catch(foundAllTheSame);
      outcome = "stored";
      if (creations > 1) await abortStrays();
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
    const id = uploadId;
    if (id !== undefined) await cleanUp((own) => options.abortUpload(id, own));
    if (creations > 1 || (creations === 1 && uploadId === undefined)) await abortStrays();
    if (wasUncertain) await receipt.withdraw();
  }

  /** A creation whose answer got lost has left an upload whose id nobody knows. */
  function abortStrays(): Promise<void> {
    return cleanUp((own) => options.abortUpload("", own));
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
