import { HostPatterns } from "../net/host-patterns.ts";
import { type RequestHeaders, withDefaults } from "../net/request-header.ts";
import { portOf } from "./names/addresses.ts";

/** The headers of one handler, with the patterns of the hosts that may get them. */
export interface HandlerHeaders {
  readonly headers: RequestHeaders;
  readonly hosts: readonly string[];
}

const NONE: RequestHeaders = {};

/**
 * The headers of the configuration that hold secrets or belong to certain hosts. Each request gets them when it is
 * made, by its own host. No task carries them, so no store, backup, dead letter or redirect does.
 */
export class ConfiguredHeaders {
  readonly #byJobType: ReadonlyMap<string, { readonly headers: RequestHeaders; readonly hosts: HostPatterns<true> }>;
  #byHost = new HostPatterns<RequestHeaders>([]);

  /** `handlers` is by job type, `hosts` by pattern. */
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

  /** The default headers of a request to this URL; a handler's headers take precedence over a host's. */
  for(jobType: string, url: URL): RequestHeaders {
    // The name always has a port, because a pattern may name the scheme's.
    const host = `${url.hostname}:${portOf(url)}`;
    const handler = this.#byJobType.get(jobType);
    const ofHandler = handler?.hosts.find(host) === true ? handler.headers : NONE;
    return withDefaults(ofHandler, this.#byHost.find(host) ?? NONE);
  }
}
