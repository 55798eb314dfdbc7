import { HostPatterns } from "../net/host-patterns.ts";
import { type RequestHeaders, withDefaults } from "../net/request-header.ts";
import { portOf } from "./names/addresses.ts";

/** Headers of one handler, and the patterns of the hosts that may get them. */
export interface HandlerHeaders {
  readonly headers: RequestHeaders;
  readonly hosts: readonly string[];
}

const NONE: RequestHeaders = {};

/**
 * Headers of the configuration that hold secrets, or are meant for some hosts. A request gets them as it is made, by
 * the host that it goes to: no task carries them, so no store, backup or dead letter does, and no redirect takes them
 * along.
 */
export class ConfiguredHeaders {
  readonly #byJobType: ReadonlyMap<string, { readonly headers: RequestHeaders; readonly hosts: HostPatterns<true> }>;
  #byHost = new HostPatterns<RequestHeaders>([]);

  /** `handlers` by their job types, `hosts` by pattern. */
  constructor(handlers: ReadonlyMap<string, HandlerHeaders>, hosts: Readonly<Record<string, RequestHeaders>>) {
    this.#byJobType = new Map(
      [...handlers].map(([jobType, { headers, hosts: patterns }]) => [
        jobType,
        { headers, hosts: new HostPatterns(patterns.map((pattern) => [pattern, true] as const)) },
      ]),
    );
    this.setHosts(hosts);
  }

  /** Takes other headers for hosts, from the next request on. */
  setHosts(hosts: Readonly<Record<string, RequestHeaders>>): void {
    this.#byHost = new HostPatterns(Object.entries(hosts));
  }

  /** What a request to this URL gets that does not set it itself; a handler's headers stand above a host's. */
  for(jobType: string, url: URL): RequestHeaders {
    // With the scheme's own port, too: a pattern may name it.
    const host = `${url.hostname}:${portOf(url)}`;
    const handler = this.#byJobType.get(jobType);
    const ofHandler = handler?.hosts.find(host) === true ? handler.headers : NONE;
    return withDefaults(ofHandler, this.#byHost.find(host) ?? NONE);
  }
}
