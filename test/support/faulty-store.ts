import type { Upload } from "../../src/jobs/object-store.ts";
import { systemClock } from "../../src/std/clock.ts";
import { fixedCredentials } from "../../src/storage/s3/credentials/credential-source.ts";
import { createS3Store, type S3StoreOptions } from "../../src/storage/s3/s3-store.ts";
import type { FaultyS3 } from "./faulty-s3.ts";
import { noNames, testClient } from "./http.ts";
import type { S3Call } from "./memory-s3.ts";
import { pattern } from "./pattern.ts";

export const never = new AbortController().signal;
export const MIB = 1024 * 1024;
export const PART = 8 * MIB;
export const REF = { bucket: "artifacts", key: "a/b" };
export const SECRET = "wJalrXUtnFEMI/K7MDENG";

/** A store that does not wait between its tries. */
export function storeOn(endpoint: string, options: Partial<S3StoreOptions> = {}) {
  return createS3Store(storeOptionsOn(endpoint, options));
}

export function storeOptionsOn(endpoint: string, options: Partial<S3StoreOptions> = {}): S3StoreOptions {
  return {
    endpoint,
    region: "us-east-1",
    addressing: "path",
    credentials: fixedCredentials({ accessKeyId: "AKID", secretAccessKey: SECRET }),
    http: testClient(),
    resolve: noNames,
    now: Date.now,
    clock: systemClock,
    random: () => 0,
    wait: () => Promise.resolve(),
    ...options,
  };
}

export const put = (store: ReturnType<typeof storeOn>, bytes = 100, signal = never) =>
  store.put(REF, pattern(bytes), { contentType: "x/y", signal });

export const open = (store: ReturnType<typeof storeOn>, size?: number, signal = never) =>
  store.open(REF, {
    contentType: "x/y",
    signal,
    onOpen: () => Promise.resolve(),
    ...(size === undefined ? {} : { size }),
  });

export async function writeAll(upload: Upload, body: Uint8Array): Promise<void> {
  for (let from = 0; from < body.byteLength; from += MIB) await upload.write(body.subarray(from, from + MIB));
}

export const isPut = (call: S3Call) => call.method === "PUT";

/** Lets a fault happen to the first `times` requests that match. */
export function failFirst(
  s3: FaultyS3,
  times: number,
  matches: (call: S3Call) => boolean,
  fault: ReturnType<FaultyS3["faultFor"]>,
) {
  let left = times;
  s3.faultFor = (call) => (matches(call) && left-- > 0 ? fault : undefined);
}
