import { getServers, setServers } from "node:dns";
import { isIP } from "node:net";
import type { Clock } from "../../std/clock.ts";
import type { Lookup } from "./names.ts";

interface NameServerDeps {
  /** The text of resolv.conf. */
  readonly read: () => Promise<string>;
  readonly current: () => readonly string[];
  readonly apply: (servers: readonly string[]) => void;
  readonly clock: Pick<Clock, "monotonic">;
}

const READ_EVERY_MS = 5000;
const SERVERS_MAX = 8;
const FILE = "/etc/resolv.conf";
const FILE_BYTES_MAX = 64 * 1024;

/**
 * Makes a lookup that follows changes of the system's name servers. c-ares reads them once per process, but a service
 * may start before its network, or move to another one. After a failed lookup the file is read again, at most once in 5
 * s. If it names other servers, they get the query.
 */
export function followNameServers(lookup: Lookup, { read, current, apply, clock }: NameServerDeps): Lookup {
  let readAt = Number.NEGATIVE_INFINITY;

  async function haveChanged(): Promise<boolean> {
    if (clock.monotonic() - readAt < READ_EVERY_MS) return false;
    readAt = clock.monotonic();
    const servers = nameServersOf(await read());
    if (servers.length === 0 || servers.join() === current().join()) return false;
    apply(servers);
    return true;
  }

  return async (name) => {
    try {
      return await lookup(name);
    } catch (error) {
      if (await haveChanged()) return lookup(name);
      throw error;
    }
  };
}

/** The servers of c-ares and the system's file. */
export function systemNameServers(clock: Pick<Clock, "monotonic">): NameServerDeps {
  return {
    read: () =>
      Bun.file(FILE)
        .slice(0, FILE_BYTES_MAX)
        .text()
        .catch(() => ""), // without the file the servers stay as they are
    current: getServers,
    apply: setServers,
    clock,
  };
}

/** The addresses in the file, without the zone of a link-local one, as c-ares lists them. */
function nameServersOf(text: string): string[] {
  const named = [...text.matchAll(/^[ \t]*nameserver[ \t]+([^\s#;%]+)/gm)].map(([, address = ""]) => address);
  return named.filter((address) => isIP(address) !== 0).slice(0, SERVERS_MAX);
}
