import { afterAll, beforeAll, describe } from "bun:test";
import type { ObjectStore } from "../../src/jobs/object-store.ts";
import { createObjectBench } from "./object-bench.ts";
import { describeKeys } from "./object-store-keys.ts";
import { describeNeighbours } from "./object-store-neighbours.ts";
import { describeObjects } from "./object-store-objects.ts";
import { describeUploads } from "./object-store-uploads.ts";

export interface ObjectStoreHarness extends AsyncDisposable {
  readonly store: ObjectStore;
  readonly bucket: string;
  /** Of every key; differs from run to run. Ends in "/". */
  readonly prefix: string;
  readonly hasLabels: boolean;
  /** Whether it lists by a prefix that ends in U+10FFFF; absent where it lists by any. */
  readonly listsByAnyPrefix?: boolean;
  /** The `Content-Encoding` of an object, read without the store; absent where the backend keeps none. */
  codingOf?(key: string): Promise<string | undefined>;
  /** Reads an object without the store. */
  readBack(key: string): Promise<Uint8Array | undefined>;
  /** What is not an object, or not yet: temporaries, open multipart uploads. */
  leftovers(): Promise<readonly string[]>;
}

/** The promises of jobs/object-store.ts, as facts. */
export function describeObjectStore(name: string, makeHarness: () => Promise<ObjectStoreHarness>): void {
  describe(name, () => {
    let made: ObjectStoreHarness | undefined;
    beforeAll(async () => {
      made = await makeHarness();
    });
    afterAll(() => made?.[Symbol.asyncDispose]());

    const bench = createObjectBench(() => {
      if (made === undefined) throw new Error("there is no harness yet");
      return made;
    });
    describeObjects(bench);
    describeUploads(bench);
    describeKeys(bench);
    describeNeighbours(bench);
  });
}
