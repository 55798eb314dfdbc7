import { isIP } from "node:net";
import { Failure } from "../../jobs/failure.ts";
import type { Resolver } from "./names.ts";

/** The addresses that downloads may connect to. */
export interface EgressPolicy {
  /** The reason for a denial; `undefined` if the address is allowed. */
  denies(address: string, port: number): string | undefined;
}

interface AddressesDeps {
  readonly policy: EgressPolicy;
  readonly resolve: Resolver;
}

/** The allowed addresses of a URL's host, in the order of the tries. */
export type Addresses = (url: URL, signal: AbortSignal) => Promise<readonly string[]>;

/**
 * Makes a function that resolves hosts and applies the policy. The resolver may cache addresses; the policy judges them
 * each time, for the port of the URL. The function rejects with a `Failure` of code DOWNLOAD_DNS_NOT_FOUND,
 * DOWNLOAD_DNS_TEMPORARY or DOWNLOAD_URL_NOT_ALLOWED, or with the signal's reason.
 */
export function createAddresses({ policy, resolve }: AddressesDeps): Addresses {
  return async (url, signal) => {
    const name = url.hostname.replace(/^\[|\]$/g, "");
    const addresses = isIP(name) ? [name] : await resolve(name, signal);
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
  const { port } = url;
  if (port !== "") return Number(port);
  return url.protocol === "https:" ? 443 : 80;
}
