import { embeddedIpv4, type IpAddress, isIn, type Network, parseIpAddress, parseNetwork } from "./ip-address.ts";

/** Decides which addresses a download may connect to. It resolves no names: the caller asks about each address. */
export interface EgressPolicy {
  /** The reason against a connection to an address (and port), or `undefined`. Text that is no address is denied. */
  readonly denies: (ip: string, port?: number) => string | undefined;
  /** The same for a URL whose host is an address; `undefined` for a URL with a name. */
  readonly deniesLiteral: (url: URL) => string | undefined;
}

interface EgressPolicyOptions {
  /** CIDRs that are allowed although they are not global. */
  readonly allowPrivate: readonly string[];
  /** Whether the service itself listens there. Such an address is always denied. See `listensOn`. */
  readonly isOwn?: ((ip: IpAddress, port: number) => boolean) | undefined;
}

interface Block {
  readonly network: Network;
  readonly reason: string;
}

// The addresses that the IANA registries (RFC 6890) do not list as globally reachable, multicast (RFC 5771), and a
// cloud's metadata address. The first match gives the reason.
const IPV4_BLOCKS = blocks([
  ["0.0.0.0/8", "this network"],
  ["10.0.0.0/8", "private use"],
  ["100.64.0.0/10", "shared address space"],
  ["127.0.0.0/8", "loopback"],
  ["169.254.169.254/32", "instance metadata"],
  ["169.254.0.0/16", "link local"],
  ["172.16.0.0/12", "private use"],
  ["192.0.0.0/24", "IETF protocol assignments"],
  ["192.0.2.0/24", "documentation"],
  ["192.88.99.0/24", "6to4 relay"],
  ["192.168.0.0/16", "private use"],
  ["198.18.0.0/15", "benchmarking"],
  ["198.51.100.0/24", "documentation"],
  ["203.0.113.0/24", "documentation"],
  ["224.0.0.0/4", "multicast"],
  ["240.0.0.0/4", "reserved"],
  ["168.63.129.16/32", "instance metadata"],
]);

// For IPv6, only global unicast, 2000::/3 (RFC 4291, 2.4), is open, apart from the special networks in it. 6to4 and
// Teredo contain an IPv4 address. They are no longer in use, so they are closed for any address.
const IPV6_GLOBAL = parseNetwork("2000::/3");
const IPV6_BLOCKS = blocks([
  ["2001::/23", "IETF protocol assignments, Teredo among them"],
  ["2001:db8::/32", "documentation"],
  ["2002::/16", "6to4"],
  ["3fff::/20", "documentation"],
  ["::/128", "unspecified"],
  ["::1/128", "loopback"],
  ["64:ff9b:1::/48", "local NAT64"],
  ["fd00:ec2::254/128", "instance metadata"],
  ["fc00::/7", "unique local"],
  ["fe80::/10", "link local"],
  ["ff00::/8", "multicast"],
]);

/** A translator (NAT64, RFC 6052) connects to the IPv4 address in the last 32 bits, so the policy judges that one. */
const NAT64 = parseNetwork("64:ff9b::/96");

const REMEDY = "which egress.allow_private can open";

/** The policy of the configuration. Throws a TypeError if `allowPrivate` has an entry that is no CIDR. */
export function createEgressPolicy({ allowPrivate, isOwn }: EgressPolicyOptions): EgressPolicy {
  const allowed = allowPrivate.map(parseNetwork);

  function denies(ip: string, port?: number): string | undefined {
    const parsed = parseIpAddress(ip);
    if (parsed === undefined) return "not an IP address";
    const address = parsed.family === 6 && isIn(parsed, NAT64) ? embeddedIpv4(parsed, 0n) : parsed;
    if (port !== undefined && isOwn?.(address, port) === true) return "FetchBox itself listens there";
    if (allowed.some((network) => isIn(address, network) || isIn(parsed, network))) return undefined;
    const reason = reasonAgainst(address);
    return reason === undefined ? undefined : `${reason}, ${REMEDY}`;
  }

  return {
    denies,
    deniesLiteral(url) {
      // The URL parser has converted hex, octal, short and full-width forms to dotted IPv4; brackets mean IPv6.
      const { hostname } = url;
      const isIpv6 = hostname.startsWith("[");
      if (!isIpv6 && !/^[\d.]+$/.test(hostname)) return undefined;
      const host = isIpv6 ? hostname.slice(1, -1) : hostname;
      return denies(host, Number(url.port) || (url.protocol === "https:" ? 443 : 80));
    },
  };
}

/**
 * A function that recognizes a server's own addresses, for `isOwn`: its bound address, the unspecified addresses, which
 * the system treats as this machine, and, for a server on all interfaces, each interface's address.
 */
export function listensOn(
  bound: { host: string; port: number },
  interfaceAddresses: () => readonly string[],
): (ip: IpAddress, port: number) => boolean {
  const host = bound.host === "localhost" ? undefined : parseIpAddress(bound.host);
  const boundToAll = host !== undefined && isUnspecified(host);
  return (ip, port) => {
    if (port !== bound.port) return false;
    if (isUnspecified(ip) || equal(ip, host)) return true;
    if (host === undefined || boundToAll) {
      if (LOOPBACK.some((network) => isIn(ip, network))) return true;
    }
    return boundToAll && interfaceAddresses().some((address) => equal(ip, parseIpAddress(address)));
  };
}

const LOOPBACK = [parseNetwork("127.0.0.0/8"), parseNetwork("::1/128")];

function reasonAgainst(address: IpAddress): string | undefined {
  const list = address.family === 4 ? IPV4_BLOCKS : IPV6_BLOCKS;
  const block = list.find(({ network }) => isIn(address, network));
  if (block !== undefined) return block.reason;
  return address.family === 4 || isIn(address, IPV6_GLOBAL) ? undefined : "not global unicast";
}

/** `0.0.0.0` or `::`. */
function isUnspecified({ family, bits }: IpAddress): boolean {
  return family === 4 ? bits === 0 : bits === 0n;
}

function equal(a: IpAddress, b: IpAddress | undefined): boolean {
  return a.family === b?.family && a.bits === b.bits;
}

function blocks(rows: readonly (readonly [cidr: string, reason: string])[]): readonly Block[] {
  return rows.map(([cidr, reason]) => ({ network: parseNetwork(cidr), reason }));
}
