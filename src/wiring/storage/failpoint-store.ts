import type { ObjectStore } from "../../jobs/object-store.ts";
import { ownerOf } from "../../jobs/storage-keys.ts";
import type { Reach } from "../../std/failpoint.ts";

/** The same store, which reports each step after it is done. */
export function failpointStore(store: ObjectStore, reach: Reach): ObjectStore {
  return {
    ...store,
    async put(ref, body, options) {
      const stored = await store.put(ref, body, options);
      const owner = ownerOf(ref.key);
      const isManifest = owner !== undefined && owner.resourceId === undefined;
      reach(isManifest ? "manifest.stored" : "object.stored");
      return stored;
    },
    async open(ref, options) {
      const upload = await store.open(ref, {
        ...options,
        async onOpen(open) {
          await options.onOpen(open);
          reach("upload.recorded");
        },
      });
      return {
        write: (chunk) => upload.write(chunk),
        abort: () => upload.abort(),
        async commit() {
          const stored = await upload.commit();
          reach("upload.completed");
          return stored;
        },
      };
    },
    async remove(ref, signal) {
      await store.remove(ref, signal);
      reach("object.removed");
    },
    async abortUpload(upload, signal) {
      await store.abortUpload(upload, signal);
      reach("recover.upload-aborted");
    },
  };
}
