import { parseIpAddress } from "../../net/ip-address.ts";
import { SOCKS_CREDENTIAL_BYTES_MAX } from "../../net/socks-limits.ts";
import { ProxyError } from "./proxy-error.ts";
import type { TunnelStream } from "./tunnel-stream.ts";

export interface SocksCredentials {
  /** 1 to 255 bytes of UTF-8. */
  readonly username: string;
  /** 0 to 255 bytes of UTF-8. */
  readonly password: string;
}

interface SocksTarget {
  /** A vetted address: the proxy must not resolve a name itself. */
  readonly address: string;
  readonly port: number;
  readonly credentials?: SocksCredentials | undefined;
}

const VERSION = 5;
const NO_AUTHENTICATION = 0;
const USERNAME_PASSWORD = 2;
const NO_ACCEPTABLE_METHOD = 0xff;
const CONNECT = 1;

/** The meaning of each reply code (RFC 1928, section 6). */
const REPLIES: readonly string[] = [
  "",
  "general failure",
  "the proxy's rules do not allow it",
  "the network cannot be reached",
  "the host cannot be reached",
  "the connection was refused",
  "the time to live has expired",
  "the proxy does not know the command",
  "the proxy does not support this kind of address",
];
/** Reply codes that concern the target, not the proxy. */
const ABOUT_TARGET = [3, 4, 5, 6];

/** Length of the bound address by its type (RFC 1928, section 5). A name has its length in its first byte. */
const ADDRESS_LENGTHS: Readonly<Record<number, number>> = { 1: 4, 4: 16 };
const NAME = 3;

/**
 * Asks for a connection (RFC 1928, sections 3 to 6), with a name and a password (RFC 1929) if there are credentials.
 *
 * Rejects with a ProxyError: code `SOCKS_1` to `SOCKS_255` for a refusal, which concerns the target with 3 to 6;
 * `SOCKS_AUTH` for refused credentials or methods; without a code if the answer is not SOCKS5.
 */
export async function connectThroughSocks(stream: TunnelStream, target: SocksTarget): Promise<void> {
  const request = connectRequest(target);
  const method = target.credentials === undefined ? NO_AUTHENTICATION : USERNAME_PASSWORD;
  // Proxies that support no credentials may continue without them.
  const methods = method === NO_AUTHENTICATION ? [NO_AUTHENTICATION] : [NO_AUTHENTICATION, USERNAME_PASSWORD];
  stream.write(Uint8Array.of(VERSION, methods.length, ...methods));
  const [version, chosen = NO_ACCEPTABLE_METHOD] = await stream.take(2);
  if (version !== VERSION) throw new ProxyError("the proxy does not speak SOCKS5");
  if (!methods.includes(chosen)) throw methodRefused(target.credentials !== undefined);
  if (chosen === USERNAME_PASSWORD && target.credentials !== undefined) await authenticate(stream, target.credentials);
  stream.write(request);
  await readReply(stream);
}

async function authenticate(stream: TunnelStream, { username, password }: SocksCredentials): Promise<void> {
  const [name, secret] = [credentialBytes(username), credentialBytes(password)];
  stream.write(Uint8Array.of(1, name.length, ...name, secret.length, ...secret));
  const [, status] = await stream.take(2);
  if (status !== 0) throw new ProxyError("the SOCKS proxy refused the credentials", { code: "SOCKS_AUTH" });
}

async function readReply(stream: TunnelStream): Promise<void> {
  const [version, reply = 1, , type = 0] = await stream.take(4);
  if (version !== VERSION) throw new ProxyError("the proxy's reply is not SOCKS5");
  if (reply !== 0) {
    const words = REPLIES[reply] ?? "unknown reply";
    throw new ProxyError(`the SOCKS proxy did not connect: ${words} (${reply})`, {
      code: `SOCKS_${reply}`,
      isAboutTarget: ABOUT_TARGET.includes(reply),
    });
  }
  const length = type === NAME ? (await stream.take(1))[0] : ADDRESS_LENGTHS[type];
  if (length === undefined) throw new ProxyError("the proxy's reply is not SOCKS5");
  await stream.take(length + 2);
}

function connectRequest({ address, port }: SocksTarget): Uint8Array {
  const parsed = parseIpAddress(address);
  if (parsed === undefined) throw new TypeError(`${JSON.stringify(address)} is not an IP address`);
  const length = parsed.family === 4 ? 4 : 16;
  const bytes = Buffer.from(parsed.bits.toString(16).padStart(length * 2, "0"), "hex");
  return Uint8Array.of(VERSION, CONNECT, 0, parsed.family === 4 ? 1 : 4, ...bytes, port >> 8, port & 0xff);
}

function credentialBytes(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= SOCKS_CREDENTIAL_BYTES_MAX) return bytes;
  throw new TypeError(`a name or a password for a SOCKS proxy has at most ${SOCKS_CREDENTIAL_BYTES_MAX} bytes`);
}

function methodRefused(hasCredentials: boolean): ProxyError {
  const words = hasCredentials
    ? "the SOCKS proxy accepts neither a password nor a client without credentials"
    : "the SOCKS proxy demands credentials";
  return new ProxyError(words, { code: "SOCKS_AUTH" });
}
