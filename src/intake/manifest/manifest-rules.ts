import { storageClassProblem } from "../../jobs/object-attributes.ts";
import { MANIFEST_FILE } from "../../jobs/storage-keys.ts";
import { mediaTypePatternProblem } from "../../net/media-type.ts";
import { TextMap } from "../../std/collections/text-map.ts";
import { isObject } from "../../std/is-object.ts";
import { quoteForMessage } from "../../std/quote.ts";
import { VIOLATIONS_MAX, type Violation } from "../intake-error.ts";
import {
  checkHeaders,
  checkMetadata,
  checkObjectTags,
  checksumProblem,
  checkTags,
  idProblem,
  keyPrefixProblem,
  manifestFileProblem,
  urlProblem,
} from "./field-rules.ts";

/** The limits that the configuration sets for manifests. */
export interface ManifestLimits {
  /** `api.max_resources_per_manifest`. */
  readonly maxResources: number;
  readonly buckets: ReadonlySet<string>;
  readonly pools: ReadonlySet<string>;
  /** The reason why the egress policy denies a URL whose host is an IP address; `undefined` if it does not. */
  readonly deniesLiteral: (url: URL) => string | undefined;
  /** The reason why the object store cannot hold a key; `undefined` if it can. */
  readonly refusesKey: (key: string) => string | undefined;
}

/**
 * The violations of a manifest beyond its shape, at most `max`. It skips a value of the wrong type, which the schema
 * reports, and checks the rest.
 */
export function ruleViolations(manifest: unknown, limits: ManifestLimits, max = VIOLATIONS_MAX): Violation[] {
  const violations: Violation[] = [];
  if (!isObject(manifest)) return violations;
  const { storage, resources } = manifest;
  const report: Report = (path, message) => {
    if (violations.length < max) violations.push({ path, message });
  };
  if (isObject(storage)) checkStorage(storage, limits, report);
  if (!Array.isArray(resources)) return violations;

  const ids: ResourceIds = { places: [], indexOf: new TextMap() };
  for (const [index, resource] of resources.entries()) {
    if (!isObject(resource)) continue;
    checkResource(resource, limits, (below, message) => report(`/resources/${index}${below}`, message));
    checkUnique(resource["id"], index, ids, report);
  }
  checkFolders(ids, report);
  checkManifestFile(isObject(storage) ? storage : {}, ids, report);
  return violations;
}

type Report = (path: string, message: string) => void;

function checkStorage(storage: Record<string, unknown>, limits: ManifestLimits, report: Report): void {
  const { bucket, resource_key_prefix: prefix, manifest_file: file, metadata, tags, class: storageClass } = storage;
  if (typeof bucket === "string" && !limits.buckets.has(bucket)) {
    report("/storage/bucket", `${quoteForMessage(bucket)} is not a bucket that manifests may name`);
  }
  const prefixProblem =
    typeof prefix === "string" ? (keyPrefixProblem(prefix) ?? limits.refusesKey(prefix.slice(0, -1))) : undefined;
  if (prefixProblem !== undefined) report("/storage/resource_key_prefix", prefixProblem);
  const fileProblem = typeof file === "string" ? (manifestFileProblem(file) ?? limits.refusesKey(file)) : undefined;
  if (fileProblem !== undefined) report("/storage/manifest_file", fileProblem);
  if (isObject(metadata)) checkMetadata(metadata, (below, message) => report(`/storage/metadata${below}`, message));
  if (isObject(tags)) checkObjectTags(tags, (below, message) => report(`/storage/tags${below}`, message));
  const classProblem = typeof storageClass === "string" ? storageClassProblem(storageClass) : undefined;
  if (classProblem !== undefined) report("/storage/class", classProblem);
}

/** Reports paths relative to the resource. */
function checkResource(resource: Record<string, unknown>, limits: ManifestLimits, report: Report): void {
  const { id, url, headers, tags, checksum, content_type: contentType, proxy_pool: pool } = resource;
  const check = (path: string, problem: string | undefined): void => {
    if (problem !== undefined) report(path, problem);
  };
  if (typeof id === "string") check("/id", idProblem(id) ?? limits.refusesKey(id));
  if (typeof url === "string") check("/url", urlProblem(url, limits.deniesLiteral));
  if (isObject(headers)) checkHeaders(headers, (below, message) => report(`/headers${below}`, message));
  if (isObject(tags)) checkTags(tags, (below, message) => report(`/tags${below}`, message));
  if (typeof checksum === "string") check("/checksum", checksumProblem(checksum));
  if (typeof contentType === "string") check("/content_type", mediaTypePatternProblem(contentType));
  if (typeof pool === "string" && !limits.pools.has(pool)) {
    report("/proxy_pool", `${quoteForMessage(pool)} is not a configured proxy pool`);
  }
}

/** The ids of a manifest's resources without duplicates, each with the index of its first resource. */
interface ResourceIds {
  readonly places: { readonly id: string; readonly index: number }[];
  readonly indexOf: TextMap<number>;
}

function checkUnique(id: unknown, index: number, { places, indexOf }: ResourceIds, report: Report): void {
  if (typeof id !== "string") return;
  const first = indexOf.get(id);
  if (first === undefined) {
    indexOf.add(id, index);
    places.push({ id, index });
  } else report(`/resources/${index}/id`, `is also the id of /resources/${first}`);
}

/** Reports ids below another id: with local storage a file cannot be a folder, too. */
function checkFolders({ places, indexOf }: ResourceIds, report: Report): void {
  for (const { id, index } of places) {
    for (let slash = id.indexOf("/"); slash !== -1; slash = id.indexOf("/", slash + 1)) {
      const other = indexOf.get(id.slice(0, slash));
      if (other !== undefined) report(`/resources/${index}/id`, `lies under the id of /resources/${other}`);
    }
  }
}

/** Reports resources whose object conflicts with the manifest object, which has the same prefix. */
function checkManifestFile(
  { manifest_file: named, resource_key_prefix: prefix }: Record<string, unknown>,
  { places }: ResourceIds,
  report: Report,
): void {
  if (named === undefined && prefix === undefined) return;
  const file = named ?? MANIFEST_FILE;
  for (const { id, index } of places) {
    const [folder] = id.split("/", 1);
    if (folder !== file) continue;
    const place = folder === id ? "is" : "lies under";
    report(`/resources/${index}/id`, `${place} ${quoteForMessage(folder)}, the name of the manifest object`);
  }
}
