import { embeddedIpv4, type IpAddress, isIn, type Network, parseIpAddress, parseNetwork } from "./ip-address.ts";

/** Which addresses a download may connect to. Pure: names are resolved elsewhere, and each answer is asked about. */
export interface EgressPolicy {
  /** Why no connection may be made to an address (and port), or nothing. Text that is no address is denied. */
  readonly denies: (ip: string, port?: number) => string | undefined;
  /** The same for a URL whose host is written as an address; nothing for a URL with a name. */
  readonly deniesLiteral: (url: URL) => string | undefined;
}

interface EgressPolicyOptions {
  /** CIDRs that are open although they are not global. */
  readonly allowPrivate: readonly string[];
  /** Whether the service itself listens there; stays closed whatever is allowed. See `listensOn`. */
  readonly isOwn?: ((ip: IpAddress, port: number) => boolean) | undefined;
}

interface Block {
  readonly network: Network;
  readonly reason: string;
}

// What the IANA registries of special-purpose addresses (RFC 6890) do not call globally reachable, multicast
// (RFC 5771), and the one global address that a cloud keeps for its own machines. The first that matches is named.
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

// IPv6 is the other way round: all is closed but global unicast, 2000::/3 (RFC 4291, 2.4), less what is special
// in it. 6to4 and Teredo carry an IPv4 address, but no use of them is left, so they are closed whatever it is.
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

/** A translator (NAT64, RFC 6052) connects to the IPv4 address in the last 32 bits: that is the one to judge. */
const NAT64 = parseNetwork("64:ff9b::/96");

/** What is always true of an address. */
interface Judgement {
  readonly address: IpAddress | undefined;
  readonly denial: string | undefined;
}

const WAY_OUT = "which egress.allow_private can open";

/** Addresses whose judgement is remembered; then all are forgotten. */
const JUDGED_MAX = 10_000;

/** Throws a TypeError if `allowPrivate` has something that is no CIDR. */
export function createEgressPolicy({ allowPrivate, isOwn }: EgressPolicyOptions): EgressPolicy {
  const allowed = allowPrivate.map(parseNetwork);
  const judged = new Map<string, Judgement>();

  function judge(ip: string): Judgement {
    const known = judged.get(ip);
    if (known !== undefined) return known;
    const parsed = parseIpAddress(ip);
    if (parsed === undefined) return { address: undefined, denial: "not an IP address" };
    const address = isIn(parsed, NAT64) ? embeddedIpv4(parsed, 0n) : parsed;
    const isAllowed = allowed.some((network) => isIn(address, network) || isIn(parsed, network));
    const reason = isAllowed ? undefined : reasonAgainst(address);
    const judgement = { address, denial: reason === undefined ? undefined : `${reason}, ${WAY_OUT}` };
    if (judged.size >= JUDGED_MAX) judged.clear();
    judged.set(ip, judgement);
    return judgement;
  }

  function denies(ip: string, port?: number): string | undefined {
    const { address, denial } = judge(ip);
    // Asked each time: it depends on the port, and on what interfaces there are now.
    if (address !== undefined && port !== undefined && isOwn?.(address, port) === true) {
      return "FetchBox itself listens there";
    }
    return denial;
  }

  return {
    denies,
    deniesLiteral(url) {
      // The URL parser has made dotted IPv4 of hex, octal, short and full-width forms; brackets mean IPv6.
      const { hostname } = url;
      const isIpv6 = hostname.startsWith("[");
      if (!isIpv6 && !/^[\d.]+$/.test(hostname)) return undefined;
      const host = isIpv6 ? hostname.slice(1, -1) : hostname;
      return denies(host, Number(url.port) || (url.protocol === "https:" ? 443 : 80));
    },
  };
}

/**
 * Tells the addresses on which a server listens, for `isOwn`: the one it is bound to, the unspecified ones, which the
 * system takes for this machine, and where it is bound to all interfaces, each of theirs.
 */
export function listensOn(
  bound: { host: string; port: number },
  interfaceAddresses: () => readonly string[],
): (ip: IpAddress, port: number) => boolean {
  const host = bound.host === "localhost" ? undefined : parseIpAddress(bound.host);
  const boundToAll = host?.bits === 0n;
  return (ip, port) => {
    if (port !== bound.port) return false;
    if (ip.bits === 0n || equal(ip, host)) return true;
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

function equal(a: IpAddress, b: IpAddress | undefined): boolean {
  return a.family === b?.family && a.bits === b.bits;
}

function blocks(rows: readonly (readonly [cidr: string, reason: string])[]): readonly Block[] {
  return rows.map(([cidr, reason]) => ({ network: parseNetwork(cidr), reason }));
}
