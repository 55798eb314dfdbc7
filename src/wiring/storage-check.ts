import type { Config } from "../config/schema.ts";
import type { CheckStep } from "../jobs/check-step.ts";
import type { Clock } from "../jobs/clock.ts";
import { checkFolder } from "../local/check-folder.ts";
import { checkStorage } from "../s3/check/check-storage.ts";
import type { CredentialSource } from "../s3/credential-source.ts";
import { createNetwork } from "./network.ts";
import { s3Options } from "./object-store.ts";

export interface StorageCheckRun {
  readonly config: Config;
  readonly bucket: string;
  readonly clock: Clock;
  /** The keys of S3 storage; none where storage is local. */
  readonly credentials: CredentialSource | undefined;
  readonly signal: AbortSignal;
}

/** Tries a bucket of the configured storage, step by step. */
export async function* checkConfiguredStorage(run: StorageCheckRun): AsyncGenerator<CheckStep> {
  const { config, bucket, clock, signal } = run;
  if (config.storage.backend === "local") return yield* checkFolder({ path: config.storage.path, bucket, signal });
  const network = createNetwork(config, clock);
  const { monotonic } = clock;
  try {
    yield* checkStorage({ ...s3Options(config, { network, credentials: run.credentials }), bucket, monotonic, signal });
  } finally {
    network.http.close();
  }
}

/** Where the storage is, for people. */
export function storagePlace({ storage }: Config): string {
  const { backend, path, endpoint, region, addressing } = storage;
  if (backend === "local") return path;
  return `${endpoint === "" ? "AWS" : endpoint}, region ${region}, ${addressing} addressing`;
}
