import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { eventually } from "../support/eventually.ts";
import type { Certificate } from "../support/tls.ts";

export interface RawServer extends AsyncDisposable {
  readonly port: number;
  /** Every TCP connection that came, also those that are closed. */
  readonly sockets: readonly Socket[];
  /** Resolves when the next TCP connection has come. */
  nextSocket(): Promise<Socket>;
}

/** A server that does with each connection what a test says. */
export function startServer(serve: (socket: Socket) => void, address = "127.0.0.1", port = 0): Promise<RawServer> {
  return listen(createServer({ allowHalfOpen: true, noDelay: true }, serve), address, port);
}

/** The same over TLS; `serve` gets the decrypted stream. */
export function startTlsServer(certificate: Certificate, serve: (socket: Socket) => void): Promise<RawServer> {
  const server = createTlsServer(certificate, serve);
  server.on("tlsClientError", () => {});
  return listen(server, "127.0.0.1", 0);
}

async function listen(server: Server, address: string, port: number): Promise<RawServer> {
  const sockets: Socket[] = [];
  server.on("connection", (socket: Socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
  });
  server.on("secureConnection", (socket: Socket) => socket.on("error", () => {}));
  server.listen(port, address);
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    async nextSocket() {
      const [socket] = (await once(server, "connection")) as [Socket];
      return socket;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** Where nobody listens: connects are refused. */
export async function refusingPort(): Promise<number> {
  await using server = await startServer(() => {});
  return server.port;
}

/** Bytes whose order shows: no two blocks of 4 are alike. */
export function numbered(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i + 4 <= length; i += 4) bytes.writeUInt32LE(i, i);
  return bytes;
}

/** Answers a request in bytes, and closes. */
export function answering(text: string): (socket: Socket) => void {
  return (socket) => socket.once("data", () => socket.end(text));
}

/** Writes so many bytes as fast as the other side takes them, then ends. */
export class Flood {
  readonly #total: number;
  sent = 0;

  constructor(total: number) {
    this.#total = total;
  }

  into(socket: Socket): void {
    const chunk = numbered(64 * 1024);
    const more = () => {
      while (this.sent < this.#total) {
        this.sent += chunk.length;
        if (!socket.write(chunk)) return;
      }
      socket.end();
    };
    socket.on("drain", more);
    more();
  }
}

/** Waits until a number no longer grows: the buffers are full. */
export async function untilStill(count: () => number | undefined): Promise<void> {
  let last: number | undefined = -1;
  let same = 0;
  await eventually("the buffers to fill", () => {
    same = count() === last ? same + 1 : 0;
    last = count();
    return same > 5 || undefined;
  });
}
