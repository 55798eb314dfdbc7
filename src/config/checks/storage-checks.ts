import { isIP } from "node:net";
import { CONFIG_METADATA_BYTES_MAX, METADATA_HEADER } from "../../jobs/object-attributes.ts";
import { goesWithEveryRequest, lowerCaseNames, storageHeaderProblem } from "../../storage/storage-header.ts";
import type { Config, StorageConfig } from "../schema.ts";
import type { KeyPath } from "../sources/key-path.ts";
import { bucketNameProblem } from "../values/bucket-name.ts";
import { isAwsEndpoint } from "../values/s3-endpoint.ts";
import type { CrossCheck } from "./check-context.ts";

/** What the storage's keys must be together: buckets and addressing by the endpoint, and the headers of objects. */
export function checkStorage(check: CrossCheck): void {
  if (check.usable(["storage", "backend"], ["storage", "endpoint"], ["storage", "addressing"])) {
    checkAddressing(check);
    checkBuckets(check);
  }
  checkHeaders(check);
}

function checkAddressing({ config: { storage }, report }: CrossCheck): void {
  if (storage.backend !== "s3" || storage.addressing !== "virtual" || storage.endpoint === "") return;
  const { hostname, pathname } = new URL(storage.endpoint);
  const path = ["storage", "addressing"];
  if (isIP(hostname.replace(/^\[|\]$/g, "")) !== 0) {
    report(path, '"virtual" puts the bucket before a name, and storage.endpoint is an IP address: set it to "path"');
  }
  if (pathname !== "/") report(path, '"virtual" cannot go with a storage.endpoint that has a path: set it to "path"');
}

function checkBuckets({ config, usable, report }: CrossCheck): void {
  for (const [path, name] of bucketsOf(config)) {
    const problem = usable(path) && name !== undefined ? bucketProblem(name, config.storage) : undefined;
    if (problem !== undefined) report(path, problem);
  }
}

function* bucketsOf({ storage, handlers }: Config): Generator<[path: KeyPath, name: string | undefined]> {
  yield [["storage", "bucket"], storage.bucket];
  for (const [index, name] of (storage.allowed_buckets ?? []).entries()) {
    yield [["storage", "allowed_buckets", index], name];
  }
  for (const [type, handler] of Object.entries(handlers)) {
    yield [["handlers", type, "storage", "bucket"], handler.storage.bucket];
  }
}

/** AWS and files are strict about names, and so is a host's name that begins with one. */
export function bucketProblem(name: string, { backend, endpoint, addressing }: StorageConfig): string | undefined {
  const isVirtual = backend === "s3" && addressing === "virtual";
  const problem = bucketNameProblem(name);
  if (problem !== undefined) {
    if (backend === "local" || isAwsEndpoint(endpoint)) return problem;
    return isVirtual ? `${problem}; or set storage.addressing to "path"` : undefined;
  }
  if (!isVirtual || !name.includes(".") || endpoint.startsWith("http:")) return undefined;
  return (
    'must have no dots with storage.addressing = "virtual" over https, since a certificate covers one label before ' +
    'the endpoint: set storage.addressing to "path"'
  );
}

function checkHeaders({ config, usable, report }: CrossCheck): void {
  const shared = usable(["storage", "headers"]) ? config.storage.headers : {};
  checkEach(shared, ["storage", "headers"], report);
  checkMetadata(shared, ["storage", "headers"], report);
  for (const [type, handler] of Object.entries(config.handlers)) {
    const path = ["handlers", type, "storage", "headers"];
    if (!usable(path)) continue;
    const { headers } = handler.storage;
    checkEach(headers, path, report);
    for (const name of Object.keys(headers).filter(goesWithEveryRequest)) {
      report([...path, name], "goes with every request, so it must stand in storage.headers");
    }
    if (Object.keys(headers).length > 0)
      checkMetadata({ ...lowerCaseNames(shared), ...lowerCaseNames(headers) }, path, report);
  }
}

type Headers = Readonly<Record<string, string>>;

function checkEach(headers: Headers, path: KeyPath, report: CrossCheck["report"]): void {
  const names = new Set<string>();
  for (const [name, value] of Object.entries(headers)) {
    const isTwice = names.has(name.toLowerCase());
    names.add(name.toLowerCase());
    const twice = isTwice ? "is there twice; letter case does not matter" : undefined;
    const problem = storageHeaderProblem(name, value) ?? twice;
    if (problem !== undefined) report([...path, name], problem);
  }
}

/** A manifest's metadata comes on top, and S3 has a limit for all of it. */
function checkMetadata(headers: Headers, path: KeyPath, report: CrossCheck["report"]): void {
  const metadata = Object.entries(headers).filter(([name]) => name.toLowerCase().startsWith(METADATA_HEADER));
  const bytes = metadata.reduce((sum, [name, value]) => sum + name.length - METADATA_HEADER.length + value.length, 0);
  if (bytes <= CONFIG_METADATA_BYTES_MAX) return;
  report(path, `must have at most ${CONFIG_METADATA_BYTES_MAX} bytes of ${METADATA_HEADER}* names and values`);
}
