import { statSync } from "node:fs";
import { relative, sep } from "node:path";
import { headerNameProblem, headerValueProblem, REQUEST_HEADERS_MAX } from "../../net/request-header.ts";
import type { HandlerConfig } from "../schema.ts";
import type { KeyPath } from "../sources/key-path.ts";
import { formatBindAddress, isLoopback } from "../values/bind-address.ts";
import { readCaFile } from "../values/ca-file.ts";
import { Secret } from "../values/secret.ts";
import type { CrossCheck } from "./check-context.ts";
import { proxyCycles } from "./proxy-cycles.ts";
import { checkStorage } from "./storage-checks.ts";

/** What a single key's schema cannot say: rules between keys, and files that must exist. */
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
    report(["server", "auth", "tokens"], "must not hold a token twice: its role would be unclear");
  }
  if (server.auth.mode === "none" || isLoopback(server.bind_addr) || server.auth.tokens.length > 0) return;
  report(
    ["server", "bind_addr"],
    `${formatBindAddress(server.bind_addr)} can be reached from other machines and there are no tokens: ` +
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
    const message = "must not be, hold or lie in the folder of the objects";
    report([section, "path"], `${message}, storage.path = ${JSON.stringify(config.storage.path)}`);
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

/** Anybody who may submit names the hosts of a job: one of them would get the secret. */
const NO_HOSTS =
  "refers to ${NAME}, so the handler must name the hosts that may get it: " +
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

/** Files of authorities are read here first, so that the start does not stumble over them. */
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
    return `names the file ${file}, which cannot be used: ${(error as Error).message}`;
  }
}

function noPool(name: string): string {
  return `names the proxy pool ${JSON.stringify(name)}, and there is no [proxies.${name}]`;
}
