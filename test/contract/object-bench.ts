import type { ObjectRef, ObjectStore, StoredObject, Upload, UploadOptions } from "../../src/jobs/object-store.ts";
import type { ObjectStoreHarness } from "./object-store.ts";

export const never = new AbortController().signal;

const TYPE = "application/octet-stream";

/** Short names for what the suite does all the time, on the store that is being tested. */
export interface ObjectBench {
  readonly harness: ObjectStoreHarness;
  readonly store: ObjectStore;
  readonly refTo: (key: string) => ObjectRef;
  /** A key that no test has used, in a folder of its own. */
  readonly fresh: (ending?: string) => ObjectRef;
  /** Such a folder, for `refTo`; ends in "/". */
  readonly freshFolder: () => string;
  readonly put: (ref: ObjectRef, body: Uint8Array) => Promise<StoredObject>;
  readonly open: (ref: ObjectRef, options?: Partial<UploadOptions>) => Promise<Upload>;
  readonly sized: (isKnown: boolean, bytes: number) => { size?: number };
  readonly readAll: (ref: ObjectRef) => Promise<Uint8Array | undefined>;
  readonly writeAll: (upload: Upload, body: Uint8Array, chunkBytes?: number) => Promise<void>;
  readonly keysUnder: (prefix: string) => Promise<string[]>;
}

/** `harness` is asked for when a test runs, since it is made only then. */
export function createObjectBench(harness: () => ObjectStoreHarness): ObjectBench {
  let serial = 0;
  const refTo = (key: string) => ({ bucket: harness().bucket, key: harness().prefix + key });
  return {
    get harness() {
      return harness();
    },
    get store() {
      return harness().store;
    },
    refTo,
    fresh: (ending = "object") => refTo(`${++serial}/${ending}`),
    freshFolder: () => `${++serial}/`,
    put: (ref, body) => harness().store.put(ref, body, { contentType: TYPE, signal: never }),
    open: (ref, options = {}) =>
      harness().store.open(ref, { contentType: TYPE, signal: never, onOpen: () => Promise.resolve(), ...options }),
    sized: (isKnown, bytes) => (isKnown ? { size: bytes } : {}),
    async readAll(ref) {
      const stream = await harness().store.read(ref, never);
      return stream && new Response(stream).bytes();
    },
    async writeAll(upload, body, chunkBytes = 300_000) {
      for (let from = 0; from < body.byteLength; from += chunkBytes) {
        await upload.write(body.subarray(from, from + chunkBytes));
      }
    },
    async keysUnder(prefix) {
      return (await Array.fromAsync(harness().store.list(harness().bucket, prefix, never))).map(({ key }) => key);
    },
  };
}
