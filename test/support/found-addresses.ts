import type { FoundAddress } from "../../src/worker/names/names.ts";

/** Addresses as a lookup gives them, with their TTL in seconds. */
export function foundFor(ttl: number, ...addresses: readonly string[]): FoundAddress[] {
  return addresses.map((address) => ({ address, ttl }));
}
