import type { ObjectStore } from "../jobs/object-store.ts";
import type { Clock } from "../std/clock.ts";

/** The same store, that tells how long each upload took, in seconds: a stream's from its start to its end. */
export function timedStore(store: ObjectStore, clock: Clock, observe: (seconds: number) => void): ObjectStore {
  const since = (begun: number) => observe((clock.monotonic() - begun) / 1000);
  return {
    ...store,
    async put(ref, body, options) {
      const begun = clock.monotonic();
      const stored = await store.put(ref, body, options);
      since(begun);
      return stored;
    },
    async open(ref, options) {
      const begun = clock.monotonic();
      const upload = await store.open(ref, options);
      return {
        write: (chunk) => upload.write(chunk),
        abort: () => upload.abort(),
        async commit() {
          const stored = await upload.commit();
          since(begun);
          return stored;
        },
      };
    },
  };
}
