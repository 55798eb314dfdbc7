/**
 * The shape of the keys that a job's objects have (contract: "Storage keys"), and the job that a key belongs to. No
 * other file knows this shape; object-key.ts has the rules that any key obeys.
 */

/** The name of a manifest object where the manifest does not choose one. */
export const MANIFEST_FILE = "metadata.json";

const MANIFESTS = "manifests/";
const RESOURCES = "resources/";

/** The folders of the default keys. A listing reads manifests first: they show which jobs the resources belong to. */
export const DEFAULT_FOLDERS = [MANIFESTS, RESOURCES] as const;

const JOB_ID = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";
const ANY_JOB_ID = new RegExp(JOB_ID);
const MANIFEST_KEY = new RegExp(`^${MANIFESTS}[^/]+/(${JOB_ID})/[^/]+$`);
const RESOURCE_KEY = new RegExp(`^${RESOURCES}[^/]+/(${JOB_ID})/(.+)$`, "s");

interface StorageKeys {
  /** Ends in `/`; a resource's key is this and its id. */
  readonly resourceKeyPrefix: string;
  readonly manifestKey: string;
}

/** The keys of a job: those that its manifest chooses, and the default keys otherwise. */
export function storageKeysOf(
  { jobType, jobId }: { readonly jobType: string; readonly jobId: string },
  chosen: { readonly prefix?: string | undefined; readonly manifestFile?: string | undefined } = {},
): StorageKeys {
  const { prefix, manifestFile = MANIFEST_FILE } = chosen;
  const own = `${jobType}/${jobId}/`;
  return {
    resourceKeyPrefix: prefix ?? RESOURCES + own,
    manifestKey: (prefix ?? MANIFESTS + own) + manifestFile,
  };
}

/** The key of a resource whose handler chose none. */
export function keyOf({ resourceKeyPrefix }: Pick<StorageKeys, "resourceKeyPrefix">, resourceId: string): string {
  return resourceKeyPrefix + resourceId;
}

/** The job and, unless the object is the job's manifest, the resource that a key belongs to. */
interface KeyOwner {
  readonly jobId: string;
  readonly resourceId: string | undefined;
}

/** The owner of a default key; `undefined` for every other key. */
export function ownerOf(key: string): KeyOwner | undefined {
  const [, jobId, resourceId] = RESOURCE_KEY.exec(key) ?? MANIFEST_KEY.exec(key) ?? [];
  return jobId === undefined ? undefined : { jobId, resourceId };
}

/** The first job id that a key contains, whatever the key's shape. */
export function jobIdIn(key: string): string | undefined {
  return ANY_JOB_ID.exec(key)?.[0];
}

/** Whether a listing of the default folders shows the key. */
export function hasDefaultFolder(key: string): boolean {
  return DEFAULT_FOLDERS.some((folder) => key.startsWith(folder));
}

/**
 * The reason why a key, prefix or template must not be chosen, or `undefined`: a job that wrote among the default keys
 * could take another job's place.
 */
export function reservedProblem(path: string): string | undefined {
  const [first = ""] = path.split("/", 1);
  const folder = DEFAULT_FOLDERS.find((each) => each === `${first}/`);
  return folder === undefined ? undefined : `must not begin with '${folder}', which is reserved for the default keys`;
}

/** The same for a key that a handler chose. Below the job's own prefix, which may be a default one, it is free. */
export function chosenKeyProblem(
  key: string,
  { resourceKeyPrefix }: Pick<StorageKeys, "resourceKeyPrefix">,
): string | undefined {
  return key.startsWith(resourceKeyPrefix) ? undefined : reservedProblem(key);
}
