import { isIPv6 } from "node:net";
import { ProxyError } from "./proxy-error.ts";
import type { TunnelStream } from "./tunnel-stream.ts";

const HEAD_BYTES_MAX = 16 * 1024;
const STATUS_LINE = /^HTTP\/1\.\d ([1-9]\d\d)(?: ([^\r\n]*))?\r?\n/;
/** Characters of the proxy's reason phrase that an error message repeats. */
const PHRASE_LENGTH_MAX = 60;

interface HttpTunnelTarget {
  /** A vetted address: the proxy must not resolve a name itself. */
  readonly address: string;
  readonly port: number;
  /** The whole value of Proxy-Authorization. Throws a TypeError if it could end the field. */
  readonly authorization?: string | undefined;
}

/**
 * Asks for a tunnel with CONNECT (RFC 9110, section 9.3.6). The bytes after the answer's head belong to the tunnel.
 *
 * Rejects with a ProxyError whose code is the status. 407 concerns the proxy, every other status the target. The error
 * has no code if the answer is not HTTP/1, or its head has more than 16 KiB.
 */
export async function connectThroughHttp(stream: TunnelStream, target: HttpTunnelTarget): Promise<void> {
  stream.write(connectRequest(target));
  for (;;) {
    const { status, phrase } = await readHead(stream);
    // Interim answers may precede the final one (RFC 9110, section 15.2).
    if (status < 200) continue;
    if (status < 300) return;
    const words = `the proxy answered CONNECT with ${status}${phrase === "" ? "" : ` ${phrase}`}`;
    throw new ProxyError(words, { code: String(status), isAboutTarget: status !== 407 });
  }
}

function connectRequest({ address, port, authorization }: HttpTunnelTarget): Uint8Array {
  if (authorization !== undefined && /[^\t\x20-\x7e]/.test(authorization)) {
    throw new TypeError("the value of Proxy-Authorization has characters that a header field must not have");
  }
  const authority = `${isIPv6(address) ? `[${address}]` : address}:${port}`;
  const credentials = authorization === undefined ? "" : `Proxy-Authorization: ${authorization}\r\n`;
  return new TextEncoder().encode(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${credentials}\r\n`);
}

async function readHead(stream: TunnelStream): Promise<{ status: number; phrase: string }> {
  const head = await stream.takeThrough("\r\n\r\n", HEAD_BYTES_MAX);
  if (head === undefined) throw new ProxyError("the proxy's answer to CONNECT has a head of more than 16 KiB");
  const match = STATUS_LINE.exec(new TextDecoder("latin1").decode(head));
  if (match === null) throw new ProxyError("the proxy's answer to CONNECT is not HTTP/1.1");
  const phrase = (match[2] ?? "").replace(/[^\x20-\x7e]/g, "?").slice(0, PHRASE_LENGTH_MAX);
  return { status: Number(match[1]), phrase: phrase.trim() };
}
