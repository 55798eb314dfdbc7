import { statSync } from "node:fs";
import { isIP } from "node:net";
import { relative, sep } from "node:path";
import { CONFIG_METADATA_BYTES_MAX, METADATA_HEADER } from "../jobs/object-attributes.ts";
import { headerNameProblem, headerValueProblem, REQUEST_HEADERS_MAX } from "../net/request-header.ts";
import { fileErrorText } from "../std/error-text.ts";
import { goesWithEveryRequest, lowerCaseNames, storageHeaderProblem } from "../storage/storage-header.ts";
import type { Config, HandlerConfig, StorageConfig } from "./schema.ts";
import type { KeyPath } from "./sources/key-path.ts";
import { formatBindAddress, isLoopback } from "./values/bind-address.ts";
import { readCaFile } from "./values/ca-file.ts";
import { bucketNameProblem } from "./values/name-rules.ts";
import { Secret } from "./values/secret.ts";
import { isAwsEndpoint } from "./values/service-url.ts";

/** The input of the rules between keys, and the place for their findings. */
interface CrossCheck {
  readonly config: Config;
  /** False if a value at or below one of the keys was refused already: the configuration then lacks it. */
  readonly usable: (...paths: readonly KeyPath[]) => boolean;
  readonly report: (path: KeyPath, message: string) => void;
}

/** Checks the rules that no single key's schema can hold: rules between keys, and files that must exist. */
export function crossCheck(check: CrossCheck): void {
  checkAccess(check);
  checkFolders(check);
  checkBackoff(check);
  checkStorage(check);
  for (const [name, handler] of Object.entries(check.config.handlers)) checkHandler(check, name, handler);
  checkHosts(check);
  checkProxies(check);
  checkAuthorities(check);
}

function checkAccess({ config: { server }, usable, report }: CrossCheck): void {
  if (!usable(["server", "bind_addr"], ["server", "auth"])) return;
  if (new Set(server.auth.tokens.map(({ token }) => token.reveal())).size < server.auth.tokens.length) {
    report(["server", "auth", "tokens"], "must not hold the same token twice: its role would be unclear");
  }
  if (server.auth.mode === "none" || isLoopback(server.bind_addr) || server.auth.tokens.length > 0) return;
  report(
    ["server", "bind_addr"],
    `other machines can reach ${formatBindAddress(server.bind_addr)}, and there are no tokens: ` +
      "set FETCHBOX__SERVER__AUTH__TOKENS=operator:SECRET, with a SECRET of at least 16 characters, " +
      'or listen on "127.0.0.1:8080", ' +
      'or allow everyone with server.auth.mode = "none"',
  );
}

/** Objects and databases do not share a folder: `{storage.path}/{bucket}` holds objects only. */
function checkFolders({ config, usable, report }: CrossCheck): void {
  if (!usable(["storage", "path"], ["storage", "backend"]) || config.storage.backend !== "local") return;
  for (const section of ["queue", "ledger", "dlq"] as const) {
    if (!usable([section, "path"])) continue;
    const inner = isWithin(config.storage.path, config[section].path);
    if (!inner && !isWithin(config[section].path, config.storage.path)) continue;
    const objects = JSON.stringify(config.storage.path);
    report([section, "path"], `must not be, contain or lie in the folder of the objects, storage.path = ${objects}`);
  }
}

function isWithin(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way !== ".." && !way.startsWith(`..${sep}`);
}

function checkBackoff({ config: { queue }, usable, report }: CrossCheck): void {
  if (!usable(["queue", "retry_backoff_ms"], ["queue", "retry_backoff_max_ms"])) return;
  if (queue.retry_backoff_ms <= queue.retry_backoff_max_ms) return;
  report(["queue", "retry_backoff_ms"], `must not exceed queue.retry_backoff_max_ms (${queue.retry_backoff_max_ms})`);
}

function checkHandler({ config, usable, report }: CrossCheck, name: string, handler: HandlerConfig): void {
  const path = ["handlers", name];
  if (usable([...path, "handler"]) && handler.handler !== "default") {
    const problem = handlerFileProblem(handler.handler);
    if (problem !== undefined) report([...path, "handler"], problem);
  }
  const pool = handler.proxy.primary;
  if (pool !== undefined && !Object.hasOwn(config.proxies, pool)) report([...path, "proxy", "primary"], noPool(pool));
  if (!usable([...path, "default_headers"])) return;
  checkHeaders(handler.default_headers, [...path, "default_headers"], report);
  if (!usable([...path, "default_headers_for"]) || handler.default_headers_for.length > 0) return;
  for (const [header, value] of Object.entries(handler.default_headers)) {
    if (value instanceof Secret) report([...path, "default_headers", header], NO_HOSTS);
  }
}

/** Each client chooses the hosts of its job: without this rule a client could have the secret sent to its own host. */
const NO_HOSTS =
  "refers to ${NAME}, so the handler must name the hosts that may receive it: " +
  'write default_headers_for = ["api.example.com"] beside default_headers';

function checkHosts({ config: { download }, usable, report }: CrossCheck): void {
  for (const [pattern, { headers }] of Object.entries(download.hosts)) {
    const path = ["download", "hosts", pattern, "headers"];
    if (headers !== undefined && usable(path)) checkHeaders(headers, path, report);
  }
}

type HeaderTable = HandlerConfig["default_headers"];

function checkHeaders(headers: HeaderTable, path: KeyPath, report: CrossCheck["report"]): void {
  const entries = Object.entries(headers);
  if (entries.length > REQUEST_HEADERS_MAX)
    report(path, `must be at most ${REQUEST_HEADERS_MAX} headers, got ${entries.length}`);
  for (const [name, value] of entries) {
    const text = value instanceof Secret ? value.reveal() : value;
    const problem = headerNameProblem(name) ?? headerValueProblem(text);
    if (problem !== undefined) report([...path, name], problem);
  }
}

function handlerFileProblem(file: string): string | undefined {
  if (!/\.(ts|js)$/.test(file)) return 'must be "default" or the path of a .ts or .js file';
  const stat = statSync(file, { throwIfNoEntry: false });
  return stat?.isFile() === true ? undefined : `names the file ${file}, which does not exist`;
}

function checkProxies({ config: { proxies }, usable, report }: CrossCheck): void {
  const pools = Object.entries(proxies).filter(([name]) => usable(["proxies", name, "fallbacks"]));
  for (const [name, pool] of pools) {
    for (const [index, fallback] of pool.fallbacks.entries()) {
      if (!Object.hasOwn(proxies, fallback)) report(["proxies", name, "fallbacks", index], noPool(fallback));
    }
  }
  for (const cycle of proxyCycles(Object.fromEntries(pools))) {
    report(["proxies", cycle[0] ?? "", "fallbacks"], `must not lead back to the pool itself: ${cycle.join(" → ")}`);
  }
}

/** The check reads these files, so that a start with a good configuration does not fail on them. */
function checkAuthorities({ config, usable, report }: CrossCheck): void {
  for (const section of ["tls", "storage"] as const) {
    if (!usable([section, "ca_file"])) continue;
    const problem = caFileProblem(config[section].ca_file);
    if (problem !== undefined) report([section, "ca_file"], problem);
  }
}

function caFileProblem(file: string): string | undefined {
  try {
    readCaFile(file);
    return undefined;
  } catch (error) {
    return `names the file ${file}, which FetchBox cannot use: ${fileErrorText(error)}`;
  }
}

function noPool(name: string): string {
  return `names the proxy pool ${JSON.stringify(name)}, but there is no [proxies.${name}]`;
}

/** Each circle of pools that fall back on one another, once, as `[a, b, a]`. Unknown names are ignored. */
function proxyCycles(pools: Readonly<Record<string, { readonly fallbacks: readonly string[] }>>): string[][] {
  const cycles: string[][] = [];
  const done = new Set<string>();
  const visit = (name: string, trail: readonly string[]): void => {
    const start = trail.indexOf(name);
    if (start >= 0) cycles.push([...trail.slice(start), name]);
    if (start >= 0 || done.has(name) || !Object.hasOwn(pools, name)) return;
    for (const fallback of pools[name]?.fallbacks ?? []) visit(fallback, [...trail, name]);
    done.add(name);
  };
  for (const name of Object.keys(pools)) visit(name, []);
  return cycles;
}

/** Checks the storage's keys against one another: buckets and addressing by the endpoint, and the objects' headers. */
function checkStorage(check: CrossCheck): void {
  if (check.usable(["storage", "backend"], ["storage", "endpoint"], ["storage", "addressing"])) {
    checkAddressing(check);
    checkBuckets(check);
  }
  checkStorageHeaders(check);
}

function checkAddressing({ config: { storage }, report }: CrossCheck): void {
  if (storage.backend !== "s3" || storage.addressing !== "virtual" || storage.endpoint === "") return;
  const { hostname, pathname } = new URL(storage.endpoint);
  const path = ["storage", "addressing"];
  if (isIP(hostname.replace(/^\[|\]$/g, "")) !== 0) {
    report(path, 'cannot be "virtual" with an IP address as storage.endpoint: set it to "path"');
  }
  if (pathname !== "/") report(path, 'cannot be "virtual" with a path in storage.endpoint: set it to "path"');
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

/** The problem of a bucket's name, or `undefined`. AWS, local files and virtual addressing have the strictest rules. */
export function bucketProblem(name: string, { backend, endpoint, addressing }: StorageConfig): string | undefined {
  const isVirtual = backend === "s3" && addressing === "virtual";
  const problem = bucketNameProblem(name);
  if (problem !== undefined) {
    if (backend === "local" || isAwsEndpoint(endpoint)) return problem;
    return isVirtual ? `${problem}; or set storage.addressing to "path"` : undefined;
  }
  if (!isVirtual || !name.includes(".") || endpoint.startsWith("http:")) return undefined;
  return (
    'must have no dots with storage.addressing = "virtual" over https, because a certificate covers only one label ' +
    'before the endpoint: set storage.addressing to "path"'
  );
}

function checkStorageHeaders({ config, usable, report }: CrossCheck): void {
  const shared = usable(["storage", "headers"]) ? config.storage.headers : {};
  checkEachHeader(shared, ["storage", "headers"], report);
  checkMetadata(shared, ["storage", "headers"], report);
  for (const [type, handler] of Object.entries(config.handlers)) {
    const path = ["handlers", type, "storage", "headers"];
    if (!usable(path)) continue;
    const { headers } = handler.storage;
    checkEachHeader(headers, path, report);
    for (const name of Object.keys(headers).filter(goesWithEveryRequest)) {
      report([...path, name], "belongs to every request: move it to storage.headers");
    }
    if (Object.keys(headers).length > 0)
      checkMetadata({ ...lowerCaseNames(shared), ...lowerCaseNames(headers) }, path, report);
  }
}

type ObjectHeaders = Readonly<Record<string, string>>;

function checkEachHeader(headers: ObjectHeaders, path: KeyPath, report: CrossCheck["report"]): void {
  const names = new Set<string>();
  for (const [name, value] of Object.entries(headers)) {
    const isTwice = names.has(name.toLowerCase());
    names.add(name.toLowerCase());
    const twice = isTwice ? "is set twice; letter case does not matter" : undefined;
    const problem = storageHeaderProblem(name, value) ?? twice;
    if (problem !== undefined) report([...path, name], problem);
  }
}

/** S3 limits the sum, and a manifest's metadata is added to it. */
function checkMetadata(headers: ObjectHeaders, path: KeyPath, report: CrossCheck["report"]): void {
  const metadata = Object.entries(headers).filter(([name]) => name.toLowerCase().startsWith(METADATA_HEADER));
  const bytes = metadata.reduce((sum, [name, value]) => sum + name.length - METADATA_HEADER.length + value.length, 0);
  if (bytes <= CONFIG_METADATA_BYTES_MAX) return;
  report(path, `must have at most ${CONFIG_METADATA_BYTES_MAX} bytes of ${METADATA_HEADER}* names and values`);
}
