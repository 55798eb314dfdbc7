import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLocalStore, type LocalStore } from "../../src/storage/local/local-store.ts";
import type { ObjectStoreHarness } from "../contract/object-store.ts";

const OWNER = "suite";

export interface LocalHarness extends ObjectStoreHarness {
  readonly store: LocalStore;
  /** Holds the buckets. */
  readonly path: string;
}

/** A store in a folder of its own, which goes with it. */
export async function makeLocalHarness(): Promise<LocalHarness> {
  const path = await mkdtemp(join(tmpdir(), "fetchbox-objects-"));
  const bucket = "artifacts";
  return {
    store: createLocalStore({ path, owner: OWNER }),
    path,
    bucket,
    prefix: "suite/",
    hasLabels: false,
    readBack: (key) => readFile(join(path, bucket, key)),
    leftovers: () => readdir(join(path, ".uploads", OWNER)).catch(() => []),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}
