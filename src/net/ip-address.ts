import { isIP } from "node:net";

/** An IP address as a number. */
export interface IpAddress {
  readonly family: 4 | 6;
  /** 0 to 2^32 - 1 or 2^128 - 1. */
  readonly bits: bigint;
}

/** A range of addresses. */
export interface Network {
  readonly family: IpAddress["family"];
  /** The `bits` of its first and last address. */
  readonly first: bigint;
  readonly last: bigint;
}

const MAPPED = networkOf({ family: 6, bits: 0xffff_0000_0000n }, 96);

/**
 * The address of `192.0.2.1` or `2001:db8::1`. An IPv4-mapped address (RFC 4291, 2.5.5.2) becomes the IPv4 address that
 * a socket would connect to. `undefined` for any other text: names, zones, hex or short forms of IPv4.
 */
export function parseIpAddress(text: string): IpAddress | undefined {
  const family = isIP(text);
  if (family === 4) return { family, bits: ipv4Bits(text) };
  if (family !== 6 || text.includes("%")) return undefined;
  const address: IpAddress = { family, bits: ipv6Bits(text) };
  return isIn(address, MAPPED) ? embeddedIpv4(address, 0n) : address;
}

/** The network of `10.0.0.0/8` or `fd00::/8`, without the bits after the prefix. Throws a TypeError on other text. */
export function parseNetwork(text: string): Network {
  const [start = "", length = "", ...rest] = text.split("/");
  const address = parseIpAddress(start);
  // ::ffff:10.0.0.0/104 is 10.0.0.0/8.
  const prefixLength = Number(length) - (address?.family === 4 && start.includes(":") ? 96 : 0);
  const isLength = /^\d{1,3}$/.test(length) && prefixLength >= 0 && prefixLength <= (address?.family === 4 ? 32 : 128);
  if (address === undefined || !isLength || rest.length > 0) {
    throw new TypeError(`${JSON.stringify(text)} is no network in CIDR notation, like 10.0.0.0/8 or fd00::/8`);
  }
  return networkOf(address, prefixLength);
}

/** `prefixLength`: 0–32 or 0–128. */
function networkOf({ family, bits }: IpAddress, prefixLength: number): Network {
  const hostBits = BigInt((family === 4 ? 32 : 128) - prefixLength);
  const first = (bits >> hostBits) << hostBits;
  return { family, first, last: first | ((1n << hostBits) - 1n) };
}

export function isIn(address: IpAddress, network: Network): boolean {
  return address.family === network.family && address.bits >= network.first && address.bits <= network.last;
}

/** The IPv4 address in 32 bits of an IPv6 address, `shift` bits before its end. */
export function embeddedIpv4(address: IpAddress, shift: bigint): IpAddress {
  return { family: 4, bits: (address.bits >> shift) & 0xffff_ffffn };
}

/** As a number until the end: a list of a million addresses is judged address by address. */
function ipv4Bits(text: string): bigint {
  let bits = 0;
  for (const octet of text.split(".")) bits = bits * 256 + Number(octet);
  return BigInt(bits);
}

function ipv6Bits(text: string): bigint {
  const [head = [], tail = []] = text.split("::").map(groupsOf);
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => 0n);
  return [...head, ...zeros, ...tail].reduce((bits, group) => (bits << 16n) | group, 0n);
}

/** The 16-bit groups of one side of the `::`; a dotted IPv4 address at the end gives two. */
function groupsOf(side: string): bigint[] {
  if (side === "") return [];
  return side.split(":").flatMap((group) => {
    if (!group.includes(".")) return [BigInt(`0x${group}`)];
    const bits = ipv4Bits(group);
    return [bits >> 16n, bits & 0xffffn];
  });
}
