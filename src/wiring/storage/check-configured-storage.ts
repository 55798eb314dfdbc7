import type { Config } from "../../config/schema.ts";
import type { Clock } from "../../std/clock.ts";
import type { CheckStep } from "../../storage/check-step.ts";
import { checkFolder } from "../../storage/local/check-folder.ts";
import { checkStorage } from "../../storage/s3/check/check-storage.ts";
import type { CredentialSource } from "../../storage/s3/credentials/credential-source.ts";
import { createNetwork } from "../downloads/network.ts";
import { s3Options } from "./open-object-store.ts";

interface StorageCheckRun {
  readonly config: Config;
  readonly bucket: string;
  readonly clock: Clock;
  /** The keys of S3 storage; `undefined` where storage is local. */
  readonly credentials: CredentialSource | undefined;
  readonly signal: AbortSignal;
}

/** Tries a bucket of the configured storage, step by step. */
export async function* checkConfiguredStorage(run: StorageCheckRun): AsyncGenerator<CheckStep> {
  const { config, bucket, clock, signal } = run;
  if (config.storage.backend === "local") return yield* checkFolder({ path: config.storage.path, bucket, signal });
  const network = createNetwork(config, clock);
  try {
    yield* checkStorage({ ...s3Options(config, { network, credentials: run.credentials }), bucket, signal });
  } finally {
    network.http.close();
  }
}

/** The place of the storage, for people. */
export function storagePlace({ storage }: Config): string {
  const { backend, path, endpoint, region, addressing } = storage;
  if (backend === "local") return path;
  return `${endpoint === "" ? "AWS" : endpoint}, region ${region}, ${addressing} addressing`;
}
