import { unlink } from "node:fs/promises";
import type { StoredObject, Upload } from "../../jobs/object-store.ts";
import { type DeclaredSize, declaredSize } from "../declared-size.ts";
import { UploadState } from "../upload-state.ts";
import type { OpenFile } from "./open-file.ts";

interface LocalUploadOptions {
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

/**
 * An upload into a temporary file, which `commit` moves into place. Its stages are those of `UploadState`; the move is
 * the step that makes the object visible.
 */
export class LocalUpload implements Upload {
  readonly #options: LocalUploadOptions;
  readonly #size: DeclaredSize;
  readonly #state = new UploadState();
  /** The latest work on the file; never rejects. While a system call runs, a close could hit another file's number. */
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: LocalUploadOptions) {
    this.#options = options;
    this.#size = declaredSize(options.size);
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#run(() => this.#append(chunk));
  }

  async commit(): Promise<StoredObject> {
    try {
      return await this.#run(() => this.#finish());
    } catch (error) {
      await this.abort();
      throw error;
    }
  }

  async abort(): Promise<void> {
    await this.#running;
    if (this.#state.abort() === undefined) return;
    const { file, temporary, onClosed } = this.#options;
    // A file that cannot be removed now is removed by its record later, or by `sweep` at the next start.
    await file.close().catch(noop);
    await unlink(temporary).then(onClosed, noop);
  }

  #run<T>(work: () => Promise<T>): Promise<T> {
    const started = this.#attempt(work);
    this.#running = started.catch(noop);
    return started;
  }

  async #attempt<T>(work: () => Promise<T>): Promise<T> {
    this.#state.assertOpen();
    try {
      this.#options.signal.throwIfAborted();
      return await work();
    } catch (error) {
      const failure = this.#options.failure(error);
      this.#state.fail(failure);
      throw failure;
    }
  }

  async #append(chunk: Uint8Array): Promise<void> {
    this.#size.add(chunk.byteLength);
    await this.#options.file.write(chunk);
  }

  async #finish(): Promise<StoredObject> {
    const { file, fsync, signal, publish, onClosed } = this.#options;
    const bytes = this.#size.total();
    if (fsync) await file.sync();
    await file.close();
    signal.throwIfAborted();
    this.#state.complete();
    await publish();
    this.#state.store();
    onClosed();
    return { bytes, etag: "", provenBy: "checksum" };
  }
}

function noop(): void {}
