import { declaredSize } from "../jobs/declared-size.ts";
import { Failure } from "../jobs/failure.ts";
import type { ObjectRef, StoredObject, Upload } from "../jobs/object-store.ts";
import type { S3Client, S3Request } from "./client.ts";
import { createHandover } from "./handover.ts";
import { bareEtag } from "./metadata.ts";
import { createReceipt } from "./receipt.ts";
import { S3Failure } from "./s3-failure.ts";

/** A single PUT takes no more: 5 GiB. */
export const PUT_BYTES_MAX = 5 * 1024 ** 3;

/**
 * One PUT whose last chunk is held back until `commit`: without it the body is too short, and the server
 * keeps nothing. `size` is exact, 1 byte to 5 GiB. Nothing is tried again, since nothing is kept to do so.
 */
export function createStreamingPut(
  client: S3Client,
  ref: ObjectRef,
  options: { size: number; headers: Readonly<Record<string, string>>; signal: AbortSignal },
): Upload {
  const { size, signal } = options;
  const receipt = createReceipt(client, ref);
  const count = declaredSize(size);
  let held: Uint8Array | undefined;
  let broken: { readonly error: unknown } | undefined;
  let outcome: "open" | "uncertain" | "stored" | "given up" = "open";

  const handover = createHandover(() => clock.touch());
  const request: S3Request = {
    method: "PUT",
    bucket: ref.bucket,
    key: ref.key,
    headers: { ...options.headers, ...receipt.headers },
    body: { bytes: size, source: handover.source },
  };
  const clock = client.deadline(request, signal);
  // The time runs while S3 has something to do, not while the origin of the bytes is slow.
  clock.pause();
  const answered = client.send(request, clock).finally(clock.end);
  const early = "S3 answered before it had the body";
  answered.then(
    () => handover.fail(new Failure("UPLOAD_UNAVAILABLE", `bucket ${ref.bucket}: ${early}`)),
    (error: unknown) => handover.fail(error),
  );

  async function hand(chunk: Uint8Array): Promise<void> {
    clock.touch();
    await handover.give(chunk);
    clock.pause();
  }

  async function write(chunk: Uint8Array): Promise<void> {
    if (broken !== undefined) throw broken.error;
    try {
      signal.throwIfAborted();
      count.add(chunk.byteLength);
      if (held !== undefined) await hand(held);
      held = chunk;
    } catch (error) {
      broken = { error };
      throw error;
    }
  }

  async function finish(): Promise<StoredObject> {
    if (broken !== undefined) throw broken.error;
    signal.throwIfAborted();
    count.total();
    outcome = "uncertain";
    if (held !== undefined) await hand(held);
    handover.end();
    clock.touch();
    const response = await answered;
    response.body.discard();
    return { bytes: size, etag: bareEtag(response.headers.get("etag")) };
  }

  async function commit(): Promise<StoredObject> {
    try {
      const stored = await finish().catch(foundAllTheSame);
      outcome = "stored";
      return stored;
    } catch (error) {
      await abort();
      throw error;
    }
  }

  async function foundAllTheSame(error: unknown): Promise<StoredObject> {
    const isUncertain = error instanceof S3Failure && error.isUncertain;
    const found = isUncertain ? await receipt.find(signal).catch(() => undefined) : undefined;
    if (found === undefined) throw error;
    return found;
  }

  async function abort(): Promise<void> {
    if (outcome === "stored" || outcome === "given up") return;
    const wasUncertain = outcome === "uncertain";
    outcome = "given up";
    const reason = new Failure("UPLOAD_UNAVAILABLE", "the upload was given up");
    clock.abort(reason);
    handover.fail(reason);
    broken ??= { error: reason };
    await answered.catch(() => undefined);
    if (wasUncertain) await receipt.withdraw();
  }

  return { write, commit, abort };
}
