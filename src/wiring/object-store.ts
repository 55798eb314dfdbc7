import type { StorageConfig } from "../config/schema.ts";
import { type Clock, delay } from "../jobs/clock.ts";
import type { ObjectStore } from "../jobs/object-store.ts";
import { createLocalStore } from "../local/store.ts";
import { createS3Store } from "../s3/store.ts";

export interface OpenedStorage {
  readonly store: ObjectStore;
  /** Removes what a process that died left half written, and returns how much; for start-up. */
  readonly sweep: () => Promise<number>;
  /** Leaves nothing behind that is no object. */
  readonly close: () => Promise<void>;
}

/** The backend that the configuration names; `owner` tells our temporaries from those of another installation. */
export function openObjectStore(config: StorageConfig, owner: string, clock: Clock): OpenedStorage {
  if (config.backend === "local") {
    const store = createLocalStore({ path: config.path, owner });
    return { store, sweep: () => store.sweep(), close: () => store.close() };
  }
  const { credentials } = config;
  if (credentials === undefined) throw new Error("the S3 backend needs credentials; the configuration checks that");
  const store = createS3Store({
    endpoint: config.endpoint,
    region: config.region,
    addressing: config.addressing,
    credentials: {
      accessKeyId: credentials.access_key_id.reveal(),
      secretAccessKey: credentials.secret_access_key.reveal(),
      ...(credentials.session_token !== undefined && { sessionToken: credentials.session_token.reveal() }),
    },
    now: clock.now,
    random: Math.random,
    wait: (ms, signal) => delay(clock, ms, signal),
  });
  // Uploads are recorded, by id or by key: nothing to look for.
  return { store, sweep: () => Promise.resolve(0), close: () => Promise.resolve() };
}
