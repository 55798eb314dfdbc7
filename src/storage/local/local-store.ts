import { randomUUID } from "node:crypto";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { CHECK_FOLDER } from "../../jobs/object-key.ts";
import type {
  ObjectRef,
  ObjectStore,
  PutOptions,
  StoredObject,
  Upload,
  UploadOptions,
} from "../../jobs/object-store.ts";
import { createFolders } from "./folders.ts";
import { localFailure } from "./local-failure.ts";
import { LocalPaths, segmentProblem } from "./local-paths.ts";
import { LocalUpload } from "./local-upload.ts";
import { StoredFiles } from "./stored-files.ts";
import { Temporaries } from "./temporaries.ts";

/** More than the free rest of blocks that are in use on a full disk. */
const TRIAL_BYTES = 65_536;

interface LocalStoreOptions {
  /** The folder of the buckets; made where it does not exist. */
  readonly path: string;
  /** Names the writer: each owner has temporaries of its own, and is one process at a time. */
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
  const paths = new LocalPaths(resolve(options.path));
  const fsync = options.fsync ?? true;
  const folders = createFolders(paths.root, fsync);
  const files = new StoredFiles(paths, folders);
  const temporaries = new Temporaries(paths.root, options.owner, folders);
  const parts = { paths, files, temporaries, fsync };

  return {
    storesLate: false,
    put: (ref, body, given) => putFile(parts, ref, body, given),
    open: (ref, given) => openUpload(parts, ref, given),
    remove: (ref, signal) => files.remove(ref, signal),
    tryUpload: (bucket, signal) => tryUpload(parts, bucket, signal),
    removeUploaded: () => Promise.resolve(false),
    list: (bucket, prefix, signal) => files.list(bucket, prefix, signal),
    openUploads: (bucket, signal) => openUploads(parts, bucket, signal),
    check: (bucket, signal) =>
      paths.guarded({ bucket, key: "" }, signal, async () => {
        await temporaries.assertWritable();
        await files.assertUsable(bucket);
        return undefined;
      }),
    async sweep() {
      const left = await temporaries.ids();
      for (const uploadId of left) await temporaries.remove(uploadId);
      return left.length;
    },
    close: () => temporaries.close(),
    refuses: segmentProblem,
    head: (ref, signal) => files.head(ref, signal),
    read: (ref, signal) => files.read(ref, signal),
    abortUpload: (upload, signal) => paths.guarded(upload, signal, () => temporaries.remove(upload.uploadId)),
    urlOf: (ref) => pathToFileURL(paths.fileOf(ref)).href,
    refOf: (url) => (url.startsWith("file:") ? paths.refOf(fileURLToPath(url)) : undefined),
  };
}

interface LocalParts {
  readonly paths: LocalPaths;
  readonly files: StoredFiles;
  readonly temporaries: Temporaries;
  readonly fsync: boolean;
}

async function openUpload(parts: LocalParts, ref: ObjectRef, options: UploadOptions): Promise<Upload> {
  const { paths, files, temporaries, fsync } = parts;
  const { size, signal, onOpen, onBegin, onClosed } = options;
  const uploadId = randomUUID();
  const temporary = temporaries.pathOf(uploadId);
  const target = paths.fileOf(ref);
  signal.throwIfAborted();
  await onOpen({ bucket: ref.bucket, key: ref.key, uploadId });
  return new LocalUpload({
    file: await paths.guarded(ref, signal, () => temporaries.create(uploadId)),
    temporary,
    size,
    fsync,
    signal,
    publish: () => {
      onBegin?.(true);
      return files.publish(temporary, ref, target);
    },
    onClosed: () => onClosed?.(uploadId),
    failure: (error: unknown) => localFailure(error, ref, paths.root, signal),
  });
}

async function putFile(
  parts: LocalParts,
  ref: ObjectRef,
  body: Uint8Array,
  { signal, onBegin }: PutOptions,
): Promise<StoredObject> {
  const onOpen = () => Promise.resolve();
  const upload = await openUpload(parts, ref, { contentType: "", size: body.byteLength, signal, onOpen, onBegin });
  try {
    await upload.write(body);
  } catch (error) {
    await upload.abort();
    throw error;
  }
  return upload.commit();
}

async function tryUpload(parts: LocalParts, bucket: string, signal: AbortSignal): Promise<void> {
  const ref = { bucket, key: `${CHECK_FOLDER}upload` };
  try {
    await putFile(parts, ref, new Uint8Array(TRIAL_BYTES), { contentType: "", signal });
  } finally {
    await parts.files.remove(ref, signal);
  }
}

/** A temporary does not show its key. */
async function* openUploads({ paths, temporaries }: LocalParts, bucket: string, signal: AbortSignal) {
  const found = await paths.guarded({ bucket, key: "" }, signal, () => temporaries.ids());
  for (const uploadId of found) yield { bucket, key: "", uploadId };
}
