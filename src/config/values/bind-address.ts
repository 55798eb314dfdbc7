import { BlockList, isIP } from "node:net";

interface BindAddress {
  /** An IP address without brackets, or `localhost`. */
  readonly host: string;
  /** 0 lets the system choose one. */
  readonly port: number;
}

/** The parts of `127.0.0.1:8080`, `localhost:8080` or `[::1]:8080`. Throws on any other text. */
export function parseBindAddress(text: string): BindAddress {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text);
  if (match === null) throw new Error('must be "host:port", for example "127.0.0.1:8080" or "[::1]:8080"');
  const [, bracketed, plain = "", port] = match;
  if (Number(port) > 65535) throw new Error("must have a port between 0 and 65535");
  if (bracketed !== undefined ? isIP(bracketed) !== 6 : isIP(plain) !== 4 && plain !== "localhost") {
    throw new Error('must name an IP address or "localhost"; "0.0.0.0:8080" is every interface');
  }
  return { host: bracketed ?? plain, port: Number(port) };
}

/** The address as `parseBindAddress` reads it and as a URL contains it. */
export function formatBindAddress(address: BindAddress): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** Whether only this machine can reach the address. */
export function isLoopback(address: BindAddress): boolean {
  if (address.host === "localhost") return true;
  const loopback = new BlockList();
  loopback.addSubnet("127.0.0.0", 8, "ipv4");
  loopback.addAddress("::1", "ipv6");
  return loopback.check(address.host, isIP(address.host) === 6 ? "ipv6" : "ipv4");
}
