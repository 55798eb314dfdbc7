import { isIP } from "node:net";

/** An IP address as a number: 0 to 2^32 - 1, or to 2^128 - 1. */
export type IpAddress =
  // No bigint: a list of a million addresses is judged address by address.
  { readonly family: 4; readonly bits: number } | { readonly family: 6; readonly bits: bigint };

/** A range of addresses. */
export interface Network {
  readonly family: IpAddress["family"];
  /** The `bits` of its first and last address. */
  readonly first: IpAddress["bits"];
  readonly last: IpAddress["bits"];
}

const ZERO = "0".charCodeAt(0);
const MAPPED = networkOf({ family: 6, bits: 0xffff_0000_0000n }, 96);

/**
 * The address of `192.0.2.1` or `2001:db8::1`. An IPv4-mapped address (RFC 4291, 2.5.5.2) becomes the IPv4 address that
 * a socket would connect to. `undefined` for any other text: names, zones, hex or short forms of IPv4.
 */
export function parseIpAddress(text: string): IpAddress | undefined {
  const family = isIP(text);
  if (family === 4) return { family, bits: ipv4Bits(text) };
  if (family !== 6 || text.includes("%")) return undefined;
  const address = { family: 6, bits: ipv6Bits(text) } as const;
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
  if (family === 4) {
    const size = 2 ** (32 - prefixLength);
    const first = bits - (bits % size);
    return { family, first, last: first + size - 1 };
  }
  const size = 1n << BigInt(128 - prefixLength);
  const first = bits - (bits % size);
  return { family, first, last: first + size - 1n };
}

export function isIn(address: IpAddress, network: Network): boolean {
  return address.family === network.family && address.bits >= network.first && address.bits <= network.last;
}

/** The IPv4 address in 32 bits of an IPv6 address, `shift` bits before its end. */
export function embeddedIpv4({ bits }: Extract<IpAddress, { family: 6 }>, shift: bigint): IpAddress {
  return { family: 4, bits: Number((bits >> shift) & 0xffff_ffffn) };
}

function ipv4Bits(text: string): number {
  let bits = 0;
  let octet = 0;
  for (let at = 0; at < text.length; at++) {
    const digit = text.charCodeAt(at) - ZERO;
    if (digit >= 0) {
      octet = octet * 10 + digit;
      continue;
    }
    bits = bits * 256 + octet;
    octet = 0;
  }
  return bits * 256 + octet;
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
    const bits = BigInt(ipv4Bits(group));
    return [bits >> 16n, bits & 0xffffn];
  });
}
