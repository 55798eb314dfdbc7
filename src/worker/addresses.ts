import { isIP } from "node:net";
import type { Clock } from "../jobs/clock.ts";
import { Failure } from "../jobs/failure.ts";

/** Which addresses may be connected to (D6). */
export interface EgressPolicy {
  /** Why not, or nothing. */
  denies(address: string, port: number): string | undefined;
}

export interface AddressesDeps {
  readonly policy: EgressPolicy;
  /** All addresses of a name; fails as `node:dns` does. */
  readonly lookup: (name: string) => Promise<readonly string[]>;
  readonly clock: Clock;
}

/** The addresses of a URL's host that may be connected to, in the order to try them. */
export type Addresses = (url: URL, signal: AbortSignal) => Promise<readonly string[]>;

const TTL_MS = 30_000;
const NAMES_MAX = 10_000;

/**
 * Resolves and judges hosts. Answers are kept for 30 s; the judgement is made each time, for the port asked for.
 * @throws Failure DOWNLOAD_DNS_NOT_FOUND, DOWNLOAD_DNS_TEMPORARY, DOWNLOAD_URL_NOT_ALLOWED
 */
export function createAddresses({ policy, lookup, clock }: AddressesDeps): Addresses {
  const cache = new Map<string, { readonly addresses: Promise<readonly string[]>; readonly until: number }>();

  const resolve = (name: string): Promise<readonly string[]> => {
    const now = clock.monotonic();
    const known = cache.get(name);
    if (known !== undefined && known.until > now) return known.addresses;
    const addresses = lookup(name);
    addresses.catch(() => cache.delete(name));
    cache.delete(name);
    if (cache.size >= NAMES_MAX) cache.delete(cache.keys().next().value ?? "");
    cache.set(name, { addresses, until: now + TTL_MS });
    return addresses;
  };

  return async (url, signal) => {
    const name = url.hostname.replace(/^\[|\]$/g, "");
    const addresses = isIP(name) ? [name] : await resolveOrFail(name, resolve, signal);
    const port = portOf(url);
    const denials: string[] = [];
    const allowed = addresses.filter((address) => {
      const denial = policy.denies(address, port);
      if (denial !== undefined) denials.push(`${address}: ${denial}`);
      return denial === undefined;
    });
    if (allowed.length > 0) return allowed;
    throw new Failure("DOWNLOAD_URL_NOT_ALLOWED", `${name} may not be connected to (${denials.join("; ")})`);
  };
}

export function portOf(url: URL): number {
  if (url.port !== "") return Number(url.port);
  return url.protocol === "https:" ? 443 : 80;
}

async function resolveOrFail(
  name: string,
  resolve: (name: string) => Promise<readonly string[]>,
  signal: AbortSignal,
): Promise<readonly string[]> {
  try {
    const addresses = await abortable(resolve(name), signal);
    if (addresses.length > 0) return addresses;
  } catch (cause) {
    signal.throwIfAborted();
    const code = (cause as { code?: unknown }).code;
    if (code !== "ENOTFOUND" && code !== "ENODATA") {
      throw new Failure("DOWNLOAD_DNS_TEMPORARY", `${name} could not be resolved (${String(code)})`, { cause });
    }
  }
  throw new Failure("DOWNLOAD_DNS_NOT_FOUND", `${name} does not exist`);
}

/** The system's resolver cannot be stopped; we stop waiting for it. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
