import { unlink } from "node:fs/promises";
import { Failure } from "../../jobs/failure.ts";
import type { StoredObject, Upload } from "../../jobs/object-store.ts";
import { declaredSize } from "../declared-size.ts";
import type { OpenFile } from "./open-file.ts";

export interface LocalUploadOptions {
  readonly file: OpenFile;
  /** Path of `file`, the temporary one. */
  readonly temporary: string;
  /** Declared size in bytes. */
  readonly size: number | undefined;
  readonly fsync: boolean;
  readonly signal: AbortSignal;
  /** Moves the finished temporary file to its place, durably. */
  readonly publish: () => Promise<void>;
  /** Called when the temporary file is gone. */
  readonly onClosed: () => void;
  /** Makes a `Failure` of a system error. */
  readonly failure: (error: unknown) => unknown;
}

/** An upload into a temporary file, which `commit` moves into place. */
export function createLocalUpload(options: LocalUploadOptions): Upload {
  const { file, temporary, size, signal } = options;
  let state: "open" | "failed" | "ended" = "open";
  const count = declaredSize(size);
  // A file must not be closed under a system call that runs: its number may be another file's by then.
  let running: Promise<unknown> = Promise.resolve();

  function run<T>(work: () => Promise<T>): Promise<T> {
    const started = attempt(work);
    running = started.catch(() => undefined);
    return started;
  }

  async function attempt<T>(work: () => Promise<T>): Promise<T> {
    if (state !== "open") throw new Failure("UPLOAD_UNAVAILABLE", "the upload has already ended or failed");
    try {
      signal.throwIfAborted();
      return await work();
    } catch (error) {
      state = "failed";
      throw options.failure(error);
    }
  }

  async function write(chunk: Uint8Array): Promise<void> {
    count.add(chunk.byteLength);
    await file.write(chunk);
  }

  async function commit(): Promise<StoredObject> {
    const bytes = count.total();
    if (options.fsync) await file.sync();
    await file.close();
    signal.throwIfAborted();
    await options.publish();
    state = "ended";
    options.onClosed();
    return { bytes, etag: "", provenBy: "checksum" };
  }

  async function abort(): Promise<void> {
    await running;
    if (state === "ended") return;
    state = "ended";
    // What cannot be removed now is tried again from its record, and by `sweep` at the next start.
    await file.close().catch(() => undefined);
    await unlink(temporary).then(options.onClosed, () => undefined);
  }

  return {
    write: (chunk) => run(() => write(chunk)),
    commit: async () => {
      try {
        return await run(commit);
      } catch (error) {
        await abort();
        throw error;
      }
    },
    abort,
  };
}
