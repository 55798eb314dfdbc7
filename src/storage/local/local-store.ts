import { randomUUID } from "node:crypto";
import { access, constants, lstat, readdir, realpath, rename, unlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Failure } from "../../jobs/failure.ts";
import { CHECK_FOLDER, keyProblem, SEGMENT_BYTES_MAX } from "../../jobs/object-key.ts";
import type {
  ObjectRef,
  ObjectStore,
  PutOptions,
  StoredObject,
  Upload,
  UploadOptions,
} from "../../jobs/object-store.ts";
import { streamFile } from "./file-stream.ts";
import { createFolders } from "./folders.ts";
import { listFiles } from "./list-files.ts";
import { errnoOf, localFailure } from "./local-failure.ts";
import { createLocalUpload } from "./local-upload.ts";
import { type OpenFile, openFile } from "./open-file.ts";
import { UPLOADS } from "./uploads-folder.ts";

/** A folder that is pruned between `ensure` and `rename` is made again, so often. */
const PUBLISH_TRIES = 10;
/** No bucket lies outside the path or is the folder of the temporaries. */
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
/** More than a full disk has left in what is half used. */
const TRIAL_BYTES = 65_536;
const UPLOAD_ID = /^[0-9a-f-]{36}$/;

export interface LocalStoreOptions {
  /** The folder of the buckets; made where it does not exist. */
  readonly path: string;
  /** Names who writes: each owner has temporaries of its own, and is one process at a time. */
  readonly owner: string;
  /** `false` trades durability under power loss for speed; default true. */
  readonly fsync?: boolean;
}

export interface LocalStore extends ObjectStore {
  /** Removes the owner's temporaries that a process left; for start-up, before the first write. Returns how many. */
  sweep(): Promise<number>;
  /** Removes the folders of the temporaries where they are empty. */
  close(): Promise<void>;
}

/**
 * Objects as files `{path}/{bucket}/{key}`, written under `{path}/.uploads/{owner}/`, synced and renamed into place.
 * Carries no labels and no etags. A key that has another object in its way is `STORAGE_KEY_CONFLICT`, one with too long
 * a segment `HANDLER_ERROR`: it is that key's problem, not the bucket's.
 */
export function createLocalStore(options: LocalStoreOptions): LocalStore {
  const root = resolve(options.path);
  const fsync = options.fsync ?? true;
  const uploads = join(root, UPLOADS, options.owner);
  const folders = createFolders(root, fsync);
  let home: Promise<void> | undefined;

  /**
   * Makes the folder of the temporaries, once. Should it be gone later, so is the storage: removed, or not mounted any
   * more, and a new one in its place would be filled unnoticed.
   */
  function ensureHome(): Promise<void> {
    if (home === undefined) {
      home = folders.ensure(uploads);
      home.catch(() => {
        home = undefined;
      });
    }
    return home;
  }

  async function openUpload(ref: ObjectRef, options: UploadOptions): Promise<Upload> {
    const { size, signal, onOpen, onBegin, onClosed } = options;
    const uploadId = randomUUID();
    const temporary = join(uploads, uploadId);
    const file = fileOf(root, ref);
    signal.throwIfAborted();
    await onOpen({ bucket: ref.bucket, key: ref.key, uploadId });
    const temporaryFile = await guarded(root, ref, signal, () => createTemporary(temporary));
    return createLocalUpload({
      file: temporaryFile,
      temporary,
      size,
      fsync,
      signal,
      publish: () => {
        onBegin?.(true);
        return publish(temporary, ref, file);
      },
      onClosed: () => onClosed?.(uploadId),
      failure: (error: unknown) => localFailure(error, ref, root, signal),
    });
  }

  async function createTemporary(temporary: string): Promise<OpenFile> {
    await ensureHome();
    try {
      return await openFile(temporary, "wx");
    } catch (error) {
      throw errnoOf(error) === "ENOENT" ? goneFailure(error) : error;
    }
  }

  function goneFailure(cause: unknown): Failure {
    const way = "put it back, or restart to begin with a new one";
    return new Failure("UPLOAD_UNAVAILABLE", `the storage's folder ${root} is not there any more: ${way}`, { cause });
  }

  async function publish(temporary: string, ref: ObjectRef, file: string): Promise<void> {
    const folder = dirname(file);
    try {
      await moveInto(folder, temporary, file);
    } catch (error) {
      await folders.prune(folder, folderOf(root, ref.bucket));
      throw error;
    }
    await folders.sync(folder);
  }

  async function moveInto(folder: string, temporary: string, file: string): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await folders.ensure(folder);
        return await rename(temporary, file);
      } catch (error) {
        if (errnoOf(error) !== "ENOENT" || tries === PUBLISH_TRIES) throw error;
        folders.forget(folder);
      }
    }
  }

  async function put(ref: ObjectRef, body: Uint8Array, { signal, onBegin }: PutOptions): Promise<StoredObject> {
    const onOpen = () => Promise.resolve();
    const upload = await openUpload(ref, { contentType: "", size: body.byteLength, signal, onOpen, onBegin });
    try {
      await upload.write(body);
    } catch (error) {
      await upload.abort();
      throw error;
    }
    return upload.commit();
  }

  async function remove(ref: ObjectRef, signal: AbortSignal): Promise<void> {
    await guarded(root, ref, signal, async () => {
      const file = await find(root, ref);
      if (file === undefined) return;
      await ignoringAbsence(() => unlink(file));
      const folder = dirname(file);
      await ignoringAbsence(() => folders.sync(folder));
      await folders.prune(folder, folderOf(root, ref.bucket));
    });
  }

  async function tryUpload(bucket: string, signal: AbortSignal): Promise<void> {
    const ref = { bucket, key: `${CHECK_FOLDER}upload` };
    try {
      await put(ref, new Uint8Array(TRIAL_BYTES), { contentType: "", signal });
    } finally {
      await remove(ref, signal);
    }
  }

  async function* list(bucket: string, prefix: string, signal: AbortSignal) {
    try {
      signal.throwIfAborted();
      yield* listFiles(folderOf(root, bucket), prefix, signal);
    } catch (error) {
      throw localFailure(error, { bucket, key: prefix }, root, signal);
    }
  }

  async function check(bucket: string, signal: AbortSignal): Promise<undefined> {
    await guarded(root, { bucket, key: "" }, signal, async () => {
      const { R_OK, W_OK, X_OK } = constants;
      await ensureHome();
      if ((await ignoringAbsence(() => lstat(uploads))) === undefined) throw goneFailure(undefined);
      await access(uploads, W_OK | X_OK);
      await ignoringAbsence(() => access(folderOf(root, bucket), R_OK | W_OK | X_OK));
    });
  }

  async function temporaries(): Promise<string[]> {
    const found = (await ignoringAbsence(() => readdir(uploads))) ?? [];
    return found.filter((name) => UPLOAD_ID.test(name));
  }

  async function* openUploads(bucket: string, signal: AbortSignal) {
    const found = await guarded(root, { bucket, key: "" }, signal, temporaries);
    for (const uploadId of found) yield { bucket, key: "", uploadId };
  }

  async function sweep(): Promise<number> {
    const orphans = await temporaries();
    for (const orphan of orphans) await ignoringAbsence(() => unlink(join(uploads, orphan)));
    return orphans.length;
  }

  async function close(): Promise<void> {
    await folders.prune(uploads, root);
  }

  return {
    storesLate: false,
    put,
    open: openUpload,
    remove,
    tryUpload,
    removeUploaded: () => Promise.resolve(false),
    list,
    openUploads,
    check,
    sweep,
    close,
    refuses,
    head: (ref, signal) =>
      guarded(root, ref, signal, async () => {
        const file = await find(root, ref);
        const found = file === undefined ? undefined : await ignoringAbsence(() => lstat(file));
        return found && { bucket: ref.bucket, key: ref.key, bytes: found.size, etag: "", labels: {} };
      }),
    read: (ref, signal) =>
      guarded(root, ref, signal, async () => {
        const file = await find(root, ref);
        if (file === undefined) return undefined;
        const opened = await ignoringAbsence(() => openFile(file, constants.O_RDONLY | constants.O_NOFOLLOW));
        return opened && streamFile(opened, signal, (error) => localFailure(error, ref, root, signal));
      }),
    abortUpload: (upload, signal) =>
      guarded(root, upload, signal, async () => {
        if (UPLOAD_ID.test(upload.uploadId)) await ignoringAbsence(() => unlink(join(uploads, upload.uploadId)));
      }),
    urlOf: (ref) => pathToFileURL(fileOf(root, ref)).href,
  };
}

function refuses(key: string): string | undefined {
  // A UTF-16 unit takes three bytes at most.
  if (key.length * 3 <= SEGMENT_BYTES_MAX) return undefined;
  const tooLong = key.split("/").some((segment) => Buffer.byteLength(segment) > SEGMENT_BYTES_MAX);
  return tooLong ? `must have at most ${SEGMENT_BYTES_MAX} bytes between two '/'` : undefined;
}

function folderOf(root: string, bucket: string): string {
  if (BUCKET.test(bucket)) return join(root, bucket);
  throw new Failure("UPLOAD_NO_SUCH_BUCKET", `"${bucket}" cannot be a bucket of the local storage`);
}

function fileOf(root: string, ref: ObjectRef): string {
  const problem = keyProblem(ref.key) ?? refuses(ref.key);
  if (problem !== undefined) throw new Failure("HANDLER_ERROR", `bucket ${ref.bucket}: the key ${problem}`);
  return join(folderOf(root, ref.bucket), ref.key);
}

/** The file of an object that is there, or nothing; never through a link inside the bucket. */
async function find(root: string, ref: ObjectRef): Promise<string | undefined> {
  const file = fileOf(root, ref);
  const bucketFolder = folderOf(root, ref.bucket);
  return ignoringAbsence(async () => {
    const inside = dirname(file).slice(bucketFolder.length);
    if ((await realpath(dirname(file))) !== (await realpath(bucketFolder)) + inside) return undefined;
    return (await lstat(file)).isFile() ? file : undefined;
  });
}

/** Runs file system work; what it throws is a `Failure` or the signal's reason. */
async function guarded<T>(root: string, ref: ObjectRef, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    signal.throwIfAborted();
    return await work();
  } catch (error) {
    throw localFailure(error, ref, root, signal);
  }
}

async function ignoringAbsence<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}
