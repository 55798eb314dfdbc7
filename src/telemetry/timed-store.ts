import type { ObjectStore } from "../jobs/object-store.ts";
import type { Clock } from "../std/clock.ts";

/** The same store, which reports the seconds of each upload; for a stream from its start to its end. */
export function timedStore(store: ObjectStore, clock: Clock, observe: (seconds: number) => void): ObjectStore {
  const observeSince = (start: number) => observe((clock.monotonic() - start) / 1000);
  return {
    ...store,
    async put(ref, body, options) {
      const start = clock.monotonic();
      const stored = await store.put(ref, body, options);
      observeSince(start);
      return stored;
    },
    async open(ref, options) {
      const start = clock.monotonic();
      const upload = await store.open(ref, options);
      return {
        write: (chunk) => upload.write(chunk),
        abort: () => upload.abort(),
        async commit() {
          const stored = await upload.commit();
          observeSince(start);
          return stored;
        },
      };
    },
  };
}
