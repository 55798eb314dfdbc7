import type { Config } from "../../config/schema.ts";
import { createHttpClient, type HttpClient } from "../../http/http-client.ts";
import type { Clock } from "../../std/clock.ts";
import {
  type Descriptors,
  hangingConnectsThatFit,
  OutOfDescriptorsError,
  readDescriptorLimit,
} from "../../worker/descriptors.ts";
import { HostsFile } from "../../worker/names/hosts-file.ts";
import { followNameServers, systemNameServers } from "../../worker/names/name-servers.ts";
import { createResolver, lookUp, type Resolver } from "../../worker/names/names.ts";
import { lookUpPatiently, withPatience } from "../../worker/names/patient-lookup.ts";

/** The connections to the outside, for downloads and uploads. */
export interface Network {
  readonly http: HttpClient;
  readonly resolve: Resolver;
  readonly clock: Clock;
}

/** Most fields of an answer's head: far more than servers send. The bytes have a limit of their own. */
const FIELDS_MAX = 5000;
/** A lookup in the hosts file is cheap. */
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
          // In a shortage of descriptors every name seems unknown.
          throw descriptors?.isShort() === true ? new OutOfDescriptorsError(error) : error;
        })
      : Promise.resolve(addresses.map((address) => ({ address, ttl: HOSTS_TTL_SECONDS })));
  };
  const answeredConnectsMax = hangingConnectsThatFit(readDescriptorLimit());
  return {
    http: createHttpClient({ clock, limits, answeredConnectsMax }),
    resolve: createResolver({ lookup, clock }),
    clock,
  };
}
