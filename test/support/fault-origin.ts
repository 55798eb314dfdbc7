import type { Socket } from "bun";
import type { Certificate } from "./tls.ts";

/** A request as it came, and the connection to answer on. */
export interface Exchange {
  readonly method: string;
  /** Path and query, byte for byte. */
  readonly target: string;
  /** The path's parts after the misbehaviour's name. */
  readonly args: readonly string[];
  /** As they came: name and value, in order. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  header(name: string): string | undefined;
  /** Writes as the client takes it; false once the connection is closed. */
  send(data: string | Uint8Array): Promise<boolean>;
  /** Ends the connection properly. */
  end(): void;
  /** Ends the connection with a reset (RST). */
  reset(): void;
  readonly isClosed: () => boolean;
}

/** One way to answer, proper or not. */
export type Misbehaviour = (exchange: Exchange) => void | Promise<void>;

export interface FaultOrigin extends Disposable {
  readonly port: number;
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  /** Connections that were made, and those that are open. */
  readonly connections: { total: number; open: number };
  /** Bytes handed to the system for sending. */
  readonly sent: { bytes: number };
  readonly requests: Exchange[];
  /** Resolves once so many requests have come. */
  requested(count: number): Promise<void>;
  /** Resolves once no connection is open. */
  idle(): Promise<void>;
}

interface Connection {
  text: string;
  drained: (() => void) | undefined;
  isClosed: boolean;
}

export interface FaultOriginOptions {
  readonly hostname?: string;
  readonly tls?: Certificate;
}

/** A server on a raw socket: the first part of a request's path names the misbehaviour that answers it. */
export function startFaultOrigin(
  misbehaviours: Readonly<Record<string, Misbehaviour>>,
  { hostname = "127.0.0.1", tls }: FaultOriginOptions = {},
): FaultOrigin {
  const connections = { total: 0, open: 0 };
  const sent = { bytes: 0 };
  const requests: Exchange[] = [];
  const waiting = new Set<() => void>();
  const changed = () => {
    for (const look of waiting) look();
  };
  const until = (isSo: () => boolean) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (!isSo()) return;
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
      look();
    });

  const listener = Bun.listen<Connection>({
    hostname,
    port: 0,
    ...(tls !== undefined && { tls }),
    socket: {
      open(socket) {
        socket.data = { text: "", drained: undefined, isClosed: false };
        connections.total++;
        connections.open++;
      },
      data(socket, chunk) {
        socket.data.text += chunk.toString("latin1");
        for (let end = headEnd(socket.data.text); end > 0; end = headEnd(socket.data.text)) {
          const exchange = readExchange(socket, socket.data.text.slice(0, end), sent);
          socket.data.text = socket.data.text.slice(end + 4);
          requests.push(exchange);
          changed();
          const name = exchange.target.split(/[/?]/)[1] ?? "";
          void (misbehaviours[name] ?? notFound)(exchange);
        }
      },
      drain(socket) {
        socket.data.drained?.();
      },
      close(socket) {
        connections.open--;
        socket.data.isClosed = true;
        socket.data.drained?.();
        changed();
      },
      error() {},
    },
  });
  return {
    port: listener.port,
    url: `${tls === undefined ? "http" : "https"}://${hostname.includes(":") ? `[${hostname}]` : hostname}:${listener.port}`,
    connections,
    sent,
    requests,
    requested: (count) => until(() => requests.length >= count),
    idle: () => until(() => connections.open === 0),
    [Symbol.dispose]: () => listener.stop(true),
  };
}

function headEnd(text: string): number {
  return text.indexOf("\r\n\r\n");
}

function readExchange(socket: Socket<Connection>, head: string, sent: { bytes: number }): Exchange {
  const [line = "", ...fields] = head.split("\r\n");
  const [method = "", target = ""] = line.split(" ");
  const headers = fields.map((field) => {
    const colon = field.indexOf(":");
    return [field.slice(0, colon), field.slice(colon + 1).trim()] as const;
  });
  return {
    method,
    target,
    args: (target.split("?")[0] ?? "").split("/").slice(2),
    headers,
    header: (name) => headers.find(([known]) => known.toLowerCase() === name.toLowerCase())?.[1],
    async send(data) {
      let rest = typeof data === "string" ? Buffer.from(data, "latin1") : data;
      while (rest.byteLength > 0) {
        if (socket.data.isClosed) return false;
        const written = Math.max(0, socket.write(rest));
        sent.bytes += written;
        rest = rest.subarray(written);
        if (rest.byteLength > 0) await drained(socket);
      }
      return !socket.data.isClosed;
    },
    end: () => void socket.end(),
    reset: () => socket.terminate(),
    isClosed: () => socket.data.isClosed,
  };
}

function drained(socket: Socket<Connection>): Promise<void> {
  return new Promise((resolve) => {
    socket.data.drained = () => {
      socket.data.drained = undefined;
      resolve();
    };
  });
}

function notFound(exchange: Exchange): Promise<unknown> {
  return exchange.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
}
