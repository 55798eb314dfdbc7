import { connect, type Socket } from "node:net";
import { type RawServer, startServer } from "./raw-server.ts";

export interface SocksOptions {
  /** `user:password` that is demanded. */
  readonly credentials?: string;
  /** Reply code instead of a connection. */
  readonly refuses?: number;
  /** Answers arrive one byte at a time. */
  readonly isSlow?: boolean;
  /** Type and bytes of the bound address in the reply. */
  readonly bound?: readonly number[];
}

export interface SocksServer extends AsyncDisposable {
  readonly port: number;
  /** Every address that was asked for, as type and bytes in hex, then the port. */
  readonly asked: string[];
}

const IPV4 = [1, 0, 0, 0, 0];

/** A SOCKS5 proxy (RFC 1928) on a loopback address. */
export async function startSocks(options: SocksOptions = {}): Promise<SocksServer> {
  const asked: string[] = [];
  const server: RawServer = await startServer((client) => {
    serve(client, asked, options).catch(() => client.destroy());
  });
  return {
    port: server.port,
    asked,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function serve(client: Socket, asked: string[], options: SocksOptions): Promise<void> {
  const read = reader(client);
  const answer = async (...bytes: number[]) => {
    if (options.isSlow !== true) return void client.write(Buffer.from(bytes));
    for (const byte of bytes) {
      client.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const [, count = 0] = await read(2);
  const methods = await read(count);
  const method = options.credentials === undefined ? 0 : 2;
  await answer(5, methods.includes(method) ? method : 0xff);
  if (!methods.includes(method)) return void client.end();
  if (method === 2) {
    const name = (await read((await read(2))[1] ?? 0)).toString();
    const password = (await read((await read(1))[0] ?? 0)).toString();
    const isKnown = `${name}:${password}` === options.credentials;
    await answer(1, isKnown ? 0 : 1);
    if (!isKnown) return void client.end();
  }
  const type = (await read(4))[3] ?? 0;
  const address = await read(type === 1 ? 4 : 16);
  const port = (await read(2)).readUInt16BE();
  asked.push(`${type} ${address.toString("hex")} ${port}`);
  if (options.refuses !== undefined) {
    await answer(5, options.refuses, 0, ...IPV4, 0, 0);
    return void client.end();
  }
  const onwards = connect(port, type === 1 ? [...address].join(".") : "::1");
  await new Promise((resolve) => onwards.once("connect", resolve));
  onwards.on("error", () => client.destroy());
  await answer(5, 0, 0, ...(options.bound ?? IPV4), 0, 0);
  client.removeAllListeners("data");
  onwards.pipe(client).pipe(onwards);
}

/** Reads so many bytes, however they arrive. */
function reader(socket: Socket): (length: number) => Promise<Buffer> {
  let bytes = Buffer.alloc(0);
  let wake = () => {};
  socket.on("data", (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    wake();
  });
  return async (length) => {
    while (bytes.length < length) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    const taken = bytes.subarray(0, length);
    bytes = bytes.subarray(length);
    return taken;
  };
}
