import { access, constants, lstat, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import type { ObjectInfo, ObjectRef } from "../../jobs/object-store.ts";
import { streamFile } from "./file-stream.ts";
import type { Folders } from "./folders.ts";
import { listFiles } from "./list-files.ts";
import { errnoOf, ignoringAbsence, localFailure } from "./local-failure.ts";
import type { LocalPaths } from "./local-paths.ts";
import { openFile } from "./open-file.ts";

/** A folder that is pruned between `ensure` and `rename` is made again, so often. */
const PUBLISH_TRIES = 10;

/** The objects that are visible, as files of their buckets. */
export class StoredFiles {
  readonly #paths: LocalPaths;
  readonly #folders: Folders;

  constructor(paths: LocalPaths, folders: Folders) {
    this.#paths = paths;
    this.#folders = folders;
  }

  head(ref: ObjectRef, signal: AbortSignal): Promise<ObjectInfo | undefined> {
    return this.#paths.guarded(ref, signal, async () => {
      const file = await this.#paths.find(ref);
      const found = file === undefined ? undefined : await ignoringAbsence(() => lstat(file));
      return found && { bucket: ref.bucket, key: ref.key, bytes: found.size, etag: "", labels: {} };
    });
  }

  read(ref: ObjectRef, signal: AbortSignal): Promise<ReadableStream<Uint8Array> | undefined> {
    return this.#paths.guarded(ref, signal, async () => {
      const file = await this.#paths.find(ref);
      if (file === undefined) return undefined;
      const opened = await ignoringAbsence(() => openFile(file, constants.O_RDONLY | constants.O_NOFOLLOW));
      return opened && streamFile(opened, signal, (error) => localFailure(error, ref, this.#paths.root, signal));
    });
  }

  async *list(bucket: string, prefix: string, signal: AbortSignal) {
    try {
      signal.throwIfAborted();
      yield* listFiles(this.#paths.folderOf(bucket), prefix, signal);
    } catch (error) {
      throw localFailure(error, { bucket, key: prefix }, this.#paths.root, signal);
    }
  }

  remove(ref: ObjectRef, signal: AbortSignal): Promise<void> {
    return this.#paths.guarded(ref, signal, async () => {
      const file = await this.#paths.find(ref);
      if (file === undefined) return;
      await ignoringAbsence(() => unlink(file));
      const folder = dirname(file);
      await ignoringAbsence(() => this.#folders.sync(folder));
      await this.#folders.prune(folder, this.#paths.folderOf(ref.bucket));
    });
  }

  /** Moves a finished temporary to its place, durably. @throws the system's error */
  async publish(temporary: string, { bucket }: ObjectRef, file: string): Promise<void> {
    const folder = dirname(file);
    try {
      await this.#moveInto(folder, temporary, file);
    } catch (error) {
      await this.#folders.prune(folder, this.#paths.folderOf(bucket));
      throw error;
    }
    await this.#folders.sync(folder);
  }

  async #moveInto(folder: string, temporary: string, file: string): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await this.#folders.ensure(folder);
        return await rename(temporary, file);
      } catch (error) {
        if (errnoOf(error) !== "ENOENT" || tries === PUBLISH_TRIES) throw error;
        this.#folders.forget(folder);
      }
    }
  }

  /** Whether the bucket's folder can be used, where it exists. @throws the system's error */
  async assertUsable(bucket: string): Promise<void> {
    const { R_OK, W_OK, X_OK } = constants;
    await ignoringAbsence(() => access(this.#paths.folderOf(bucket), R_OK | W_OK | X_OK));
  }
}
