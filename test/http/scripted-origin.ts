import type { Socket } from "node:net";
import type { Certificate } from "../support/tls.ts";
import { type RawServer, startServer, startTlsServer } from "./raw-server.ts";

export const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** A request as it came over the wire, head and body. */
export interface ReceivedRequest {
  /** Everything up to the empty line and with it, as Latin-1. */
  readonly head: string;
  readonly requestLine: string;
  readonly body: Buffer;
  readonly socket: Socket;
  /** Which of the connections it came by, from 0. */
  readonly connection: number;
  /** How many requests came before it, on all connections together. */
  readonly index: number;
}

export interface ScriptedOrigin extends AsyncDisposable {
  readonly port: number;
  readonly sockets: readonly Socket[];
  readonly requests: readonly ReceivedRequest[];
  /** The number of the connection of each request, in order. */
  readonly ways: readonly number[];
}

export interface ScriptedOriginOptions {
  readonly certificate?: Certificate;
  readonly address?: string;
}

/** Answers what was said, byte for byte, to each request once it is whole. */
export function startOrigin(
  answer: (request: ReceivedRequest) => void = ({ socket }) => void socket.write(OK),
  { certificate, address }: ScriptedOriginOptions = {},
): Promise<ScriptedOrigin> {
  const requests: ReceivedRequest[] = [];
  let connections = 0;
  const serve = (socket: Socket): void => {
    const connection = connections++;
    let bytes: Buffer = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
      for (let length = lengthOf(bytes); length !== undefined; length = lengthOf(bytes)) {
        const whole = bytes.subarray(0, length);
        bytes = bytes.subarray(length);
        const request = { ...parts(whole), socket, connection, index: requests.length };
        requests.push(request);
        answer(request);
      }
    });
    // The other side closed: so does this one, as servers do.
    socket.on("end", () => socket.end());
  };
  const started = certificate === undefined ? startServer(serve, address) : startTlsServer(certificate, serve);
  return started.then((server) => scripted(server, requests));
}

function scripted(server: RawServer, requests: readonly ReceivedRequest[]): ScriptedOrigin {
  return {
    port: server.port,
    sockets: server.sockets,
    requests,
    get ways() {
      return requests.map(({ connection }) => connection);
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** Length of the first request, if it is whole. */
function lengthOf(bytes: Buffer): number | undefined {
  const end = bytes.indexOf("\r\n\r\n");
  if (end === -1) return undefined;
  const digits = /\r\nContent-Length: (\d+)\r\n/i.exec(bytes.toString("latin1", 0, end + 2))?.[1];
  const length = end + 4 + Number(digits ?? 0);
  return bytes.length < length ? undefined : length;
}

function parts(whole: Buffer): { head: string; requestLine: string; body: Buffer } {
  const end = whole.indexOf("\r\n\r\n") + 4;
  const head = whole.toString("latin1", 0, end);
  return { head, requestLine: head.slice(0, head.indexOf("\r\n")), body: whole.subarray(end) };
}
