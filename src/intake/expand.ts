import { Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { keyProblem } from "../jobs/object-key.ts";
import type { ObjectRef } from "../jobs/object-store.ts";
import { chosenKeyProblem, keyOf } from "../jobs/storage-keys.ts";
import type { Task, TaskSpec } from "../jobs/task.ts";
import { mediaTypePatternProblem } from "../net/media-type.ts";
import { TASK_HEADERS_MAX } from "../net/request-header.ts";
import { isObject } from "../std/is-object.ts";
import { quoteForMessage } from "../std/quote.ts";
import type { JobContext } from "./handlers/handler.ts";
import { IntakeError, type Violation } from "./intake-error.ts";
import type { JobStorage } from "./job-storage.ts";
import {
  checkHeaders,
  checksumProblem,
  checkTags,
  idProblem,
  normalChecksum,
  urlProblem,
} from "./manifest/field-rules.ts";
import type { ManifestLimits } from "./manifest/manifest-rules.ts";
import { mapOf, SizeSchema } from "./manifest/manifest-schema.ts";
import { shapeViolations } from "./manifest/shape-violation.ts";

const TaskSpecSchema = Type.Object(
  {
    resourceId: Type.String(),
    url: Type.String(),
    headers: Type.Optional(mapOf(Type.String())),
    tags: Type.Optional(mapOf(Type.String())),
    checksum: Type.Optional(Type.String()),
    size: Type.Optional(SizeSchema),
    contentType: Type.Optional(Type.String()),
    rejectHtml: Type.Optional(Type.Boolean()),
    proxyPool: Type.Optional(Type.String()),
    bucket: Type.Optional(Type.String()),
    key: Type.Optional(Type.String()),
  },
  { additionalProperties: false },
);
const SHAPE = TypeCompiler.Compile(TaskSpecSchema);

/** Converts the task specs of one job's handler to tasks. */
interface Expansion {
  /**
   * The task of a spec, with its bucket and key. A user's handler may yield any value, so every field is checked.
   * @throws IntakeError HANDLER_ERROR that names the resource and its violations, also for two tasks that conflict
   */
  resolve(spec: unknown): Task;
  /** The same for a spec whose fields were already checked with the manifest. */
  place(spec: TaskSpec): Task;
}

/** Creates the expansion of one job. It keeps the ids and keys of the job's tasks, about 400 bytes for each. */
export function createExpansion(
  { storage }: Pick<JobContext, "storage">,
  { limits }: { limits: TaskLimits },
): Expansion {
  const ids = new Set<string>();
  const places = createPlaces(storage.manifest);
  function place(spec: TaskSpec): Task {
    const task = placed(spec, storage);
    const problem = ids.has(task.resourceId)
      ? "has the id of an earlier task"
      : (limits.refusesKey(task.key) ?? foreignKeyProblem(task.key, storage) ?? places.take(task));
    if (problem !== undefined) throw handlerError(spec, [{ path: "", message: problem }]);
    ids.add(task.resourceId);
    return task;
  }

  return {
    place,
    resolve(yielded) {
      const spec = plainCopy(yielded);
      const isShaped = SHAPE.Check(spec);
      const violations = isShaped ? ruleViolations(spec, limits) : shapeViolations(SHAPE, spec);
      if (!isShaped || violations.length > 0) throw handlerError(yielded, violations);
      return place(spec);
    },
  };
}

type TaskLimits = Omit<ManifestLimits, "maxResources">;

/** A copy of the defined own members. Each is read once, so that a getter cannot change a value after its check. */
function plainCopy(yielded: unknown): unknown {
  if (!isObject(yielded)) return yielded;
  const copy: Record<string, unknown> = { ...yielded };
  for (const name of Object.keys(copy)) {
    const value = copy[name];
    if (value === undefined) delete copy[name];
    else if (isPlain(value)) copy[name] = { ...value };
  }
  return copy;
}

/** True for a plain object; false for Headers or Map, whose contents are not members. */
function isPlain(value: unknown): value is Record<string, unknown> {
  if (!isObject(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function ruleViolations(spec: TaskSpec, limits: TaskLimits): Violation[] {
  const violations: Violation[] = [];
  const check = (path: string, message: string | undefined): void => {
    if (message !== undefined) violations.push({ path, message });
  };
  const { resourceId, url, headers, tags, checksum, contentType, proxyPool, bucket } = spec;
  check("/resourceId", idProblem(resourceId));
  check("/url", urlProblem(url, limits.deniesLiteral));
  if (headers && !isPlain(headers)) check("/headers", "must be a plain object");
  if (tags && !isPlain(tags)) check("/tags", "must be a plain object");
  if (headers) checkHeaders(headers, (below, message) => check(`/headers${below}`, message), TASK_HEADERS_MAX);
  if (tags) checkTags(tags, (below, message) => check(`/tags${below}`, message));
  if (checksum !== undefined) check("/checksum", checksumProblem(checksum));
  if (contentType !== undefined) check("/contentType", mediaTypePatternProblem(contentType));
  if (proxyPool !== undefined && !limits.pools.has(proxyPool)) check("/proxyPool", "is not a configured proxy pool");
  if (bucket !== undefined && !limits.buckets.has(bucket)) check("/bucket", "is not an allowed bucket");
  return violations;
}

function placed(spec: TaskSpec, storage: JobStorage): Task {
  const { bucket, attributes } = storage;
  return {
    ...spec,
    ...(spec.checksum === undefined ? {} : { checksum: normalChecksum(spec.checksum) }),
    bucket: spec.bucket ?? bucket,
    key: spec.key ?? keyOf(storage, spec.resourceId),
    ...(attributes !== undefined && { attributes }),
  };
}

/** The problem of a key outside the job's own prefix, which may be the default one and thus reserved. */
function foreignKeyProblem(key: string, storage: JobStorage): string | undefined {
  const problem = chosenKeyProblem(key, storage);
  return problem === undefined ? undefined : `its key ${problem}`;
}

/** The places that a job writes to. It refuses a duplicate, and a place that is a folder of another. */
function createPlaces(manifest: ObjectRef): { take(place: ObjectRef): string | undefined } {
  const files = new Set<string>();
  const folders = new Set<string>();
  /** The folder of the latest place: it and the folders above it are known. */
  let lastFolder = "";

  function take({ bucket, key }: ObjectRef): string | undefined {
    const problem = keyProblem(key);
    if (problem !== undefined) return `its key ${problem}`;
    const place = `${bucket}/${key}`;
    if (files.has(place)) return "has the key of an earlier task, or of the manifest object";
    if (folders.has(place)) return "has a key that is a folder of an earlier task's key";
    const folder = parentOf(place);
    if (folder !== lastFolder) {
      const added = newFolders(folder);
      if (added === undefined) return "has a key that lies under an earlier task's key";
      for (const each of added) folders.add(each);
      lastFolder = folder;
    }
    files.add(place);
    return undefined;
  }

  /** The unknown ones of a folder and the folders above it; `undefined` if one of them is a file. */
  function newFolders(lowest: string): string[] | undefined {
    const added: string[] = [];
    // All folders above a known folder are known, too.
    for (let folder = lowest; folder !== "" && !folders.has(folder); folder = parentOf(folder)) {
      if (files.has(folder)) return undefined;
      added.push(folder);
    }
    return added;
  }

  take(manifest);
  return { take };
}

/** The part before the last `/`. */
function parentOf(place: string): string {
  return place.slice(0, Math.max(0, place.lastIndexOf("/")));
}

function handlerError(yielded: unknown, violations: readonly Violation[]): IntakeError {
  const id = isObject(yielded) && typeof yielded["resourceId"] === "string" ? yielded["resourceId"] : undefined;
  const subject = id === undefined ? "a task without resourceId" : `the task of resource ${quoteForMessage(id)}`;
  const problems = violations.map(({ path, message }) => `${path} ${message}`.trim()).join("; ");
  return new IntakeError("HANDLER_ERROR", `the handler yielded ${subject} that is invalid: ${problems}`);
}
