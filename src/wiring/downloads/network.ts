import type { Config } from "../../config/schema.ts";
import { createHttpClient, type HttpClient } from "../../http/http-client.ts";
import type { Clock } from "../../std/clock.ts";
import { type Descriptors, OutOfDescriptorsError } from "../../worker/descriptors.ts";
import { HostsFile } from "../../worker/names/hosts-file.ts";
import { followNameServers, systemNameServers } from "../../worker/names/name-servers.ts";
import { createResolver, lookUp, type Resolver } from "../../worker/names/names.ts";
import { lookUpPatiently, withPatience } from "../../worker/names/patient-lookup.ts";

/** The way out of the process, for downloads and uploads. */
export interface Network {
  readonly http: HttpClient;
  readonly resolve: Resolver;
  readonly clock: Clock;
}

/** Fields of an answer's head. Far more than servers send; the bytes have a limit of their own. */
const FIELDS_MAX = 5000;
/** The hosts file is at hand. */
const HOSTS_TTL_SECONDS = 1;

export function createNetwork(
  { download }: Pick<Config, "download">,
  clock: Clock,
  descriptors?: Pick<Descriptors, "isShort">,
): Network {
  const limits = { headBytesMax: download.header_bytes, fieldsMax: FIELDS_MAX };
  const hosts = new HostsFile("/etc/hosts", clock);
  const ask = followNameServers(withPatience(lookUp, lookUpPatiently), systemNameServers(clock));
  const lookup = (name: string) => {
    const addresses = hosts.addressesOf(name);
    return addresses === undefined
      ? ask(name).catch((error: unknown) => {
          // Without descriptors every name is unknown.
          throw descriptors?.isShort() === true ? new OutOfDescriptorsError(error) : error;
        })
      : Promise.resolve(addresses.map((address) => ({ address, ttl: HOSTS_TTL_SECONDS })));
  };
  return { http: createHttpClient({ clock, limits }), resolve: createResolver({ lookup, clock }), clock };
}
