import { lstatSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "../../config/config-error.ts";
import type { Config } from "../../config/schema.ts";
import { readCaFile } from "../../config/values/ca-file.ts";
import type { ObjectStore } from "../../jobs/object-store.ts";
import { StoreError, StoreLockedError } from "../../jobs/stores/store-error.ts";
import { lockDirectory } from "../../sqlite/file/directory-lock.ts";
import { type Clock, delay } from "../../std/clock.ts";
import { isOwnFolder } from "../../std/own-folder.ts";
import { createLocalStore } from "../../storage/local/local-store.ts";
import { UPLOADS, uploadsProblem } from "../../storage/local/uploads-folder.ts";
import { createBunReader, type Environment } from "../../storage/s3/client/bun-reader.ts";
import type { CredentialSource } from "../../storage/s3/credentials/credential-source.ts";
import { createS3Store, type S3StoreOptions } from "../../storage/s3/s3-store.ts";
import { goesWithEveryRequest, lowerCaseNames } from "../../storage/storage-header.ts";
import { createNetwork, type Network } from "../downloads/network.ts";

type StorageSettings = Pick<Config, "storage" | "handlers" | "tls" | "download">;

interface OpenedStorage {
  readonly store: ObjectStore;
  /** Removes the unfinished uploads of processes that died, and returns their number; for start-up. */
  readonly sweep: () => Promise<number>;
  /** Removes every file and folder that is no object. */
  readonly close: () => Promise<void>;
}

interface StorageAccess {
  readonly network: Network;
  /** Of the S3 backend. */
  readonly credentials: CredentialSource | undefined;
}

/**
 * The backend that the configuration names; `owner` distinguishes our temporaries from those of another installation.
 */
export function openObjectStore(config: StorageSettings, owner: string, access: StorageAccess): OpenedStorage {
  if (config.storage.backend === "local") return openLocal(config.storage.path, owner);
  // Uploads are recorded by id or by key: no search is needed.
  return { store: s3Store(config, access), sweep: () => Promise.resolve(0), close: () => Promise.resolve() };
}

interface LookDeps {
  readonly clock: Clock;
  /** Of the S3 backend. */
  readonly credentials: CredentialSource | undefined;
}

/** The same for a reader: temporaries are left to the processes that hold their lock. */
export function lookAtObjectStore(
  config: StorageSettings,
  owner: string,
  { clock, credentials }: LookDeps,
): ObjectStore {
  const { backend, path } = config.storage;
  if (backend === "local") return createLocalStore({ path, owner });
  return s3Store(config, { network: createNetwork(config, clock), credentials });
}

/** The same for `fetchbox verify`, which lists and reads much. `environment` is the process's own, not a copy. */
export function objectStoreToVerify(
  config: StorageSettings,
  owner: string,
  { environment, ...deps }: LookDeps & { readonly environment: Environment },
): ObjectStore {
  if (config.storage.backend === "local") return lookAtObjectStore(config, owner, deps);
  const options = s3Options(config, { network: createNetwork(config, deps.clock), credentials: deps.credentials });
  const store = createS3Store(options);
  return { ...store, ...createBunReader(options, store, environment) };
}

function s3Store(config: StorageSettings, access: StorageAccess): ObjectStore {
  return createS3Store(s3Options(config, access));
}

/** How the configured S3 service is reached. */
export function s3Options(settings: StorageSettings, { network, credentials }: StorageAccess): S3StoreOptions {
  const { storage: config, tls, download } = settings;
  if (credentials === undefined) throw new Error("the S3 backend needs a source of credentials");
  const { clock, http, resolve } = network;
  return {
    endpoint: config.endpoint,
    region: config.region,
    addressing: config.addressing,
    credentials,
    ...headersOf(settings),
    signPayload: config.sign_payload,
    checksum: config.checksum,
    partBytes: config.part_bytes,
    bufferBytes: config.buffer_bytes,
    objectBytesMax: download.max_bytes,
    http,
    resolve,
    ca: [...(readCaFile(tls.ca_file) ?? []), ...(readCaFile(config.ca_file) ?? [])],
    now: clock.now,
    clock,
    random: Math.random,
    wait: (ms, signal) => delay(clock, ms, signal),
  };
}

/** The configured headers: some go with every request, the others with requests that make an object. */
function headersOf({ storage, handlers }: StorageSettings) {
  const entries = Object.entries(lowerCaseNames(storage.headers));
  const ofHandlers = Object.entries(handlers).map(
    ([jobType, handler]) => [jobType, lowerCaseNames(handler.storage.headers)] as const,
  );
  return {
    headers: Object.fromEntries(entries.filter(([name]) => goesWithEveryRequest(name))),
    objectHeaders: {
      all: Object.fromEntries(entries.filter(([name]) => !goesWithEveryRequest(name))),
      byJobType: new Map(ofHandlers),
    },
  };
}

/**
 * Several processes may share the folder (a `run` beside a service): each holds a lock on its own temporaries.
 * Temporaries without a lock were left by a process that died.
 */
function openLocal(path: string, owner: string): OpenedStorage {
  const store = createLocalStore({ path, owner });
  const uploads = join(path, UPLOADS);
  const release = holdFolder(path, join(uploads, owner));
  return {
    store,
    async sweep() {
      let swept = await store.sweep();
      for (const other of await readdir(uploads)) {
        if (other !== owner) swept += await sweepDead(join(uploads, other));
      }
      return swept;
    },
    async close() {
      release();
      await rm(join(uploads, owner), { recursive: true, force: true });
      await store.close();
    },
  };
}

/** A folder that cannot be used is no store that is damaged. @throws ConfigError */
function holdFolder(path: string, folder: string): () => void {
  const foreign = isOthers(folder) ? `${folder} belongs to another user, or is a link` : undefined;
  const problem = uploadsProblem(path) ?? foreign;
  if (problem !== undefined) throw unusable(path, problem);
  try {
    return lockDirectory(folder);
  } catch (error) {
    throw error instanceof StoreError ? unusable(path, error.message, error) : error;
  }
}

function unusable(path: string, problem: string, cause?: StoreError): ConfigError {
  const message = `${path} cannot be used: ${problem}`;
  return new ConfigError([{ source: "the file system", key: "storage.path", message }], { cause });
}

function isOthers(folder: string): boolean {
  const found = lstatSync(folder, { throwIfNoEntry: false });
  return found !== undefined && !isOwnFolder(found);
}

async function sweepDead(folder: string): Promise<number> {
  if (isOthers(folder)) return 0;
  try {
    const release = lockDirectory(folder);
    await rm(folder, { recursive: true, force: true });
    release();
    return 1;
  } catch (error) {
    if (error instanceof StoreLockedError) return 0;
    throw error;
  }
}
