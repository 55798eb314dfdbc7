import { createServer, type Socket } from "node:net";
import { createMemoryS3, type MemoryS3, type S3Call } from "./memory-s3.ts";

/** What goes wrong with a request. */
export type Fault =
  /** Another answer than the right one; `early` gives it before the body has been read. */
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly body?: string;
      readonly early?: boolean;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** Reads the request and never answers; `done` carries it out all the same, at once or when it resolves. */
  | { readonly kind: "hang"; readonly done?: boolean | Promise<void> }
  /** Reads no further than the head. */
  | { readonly kind: "stall" }
  /** Resets the connection once the request is read; `done` carries it out all the same: the answer got lost. */
  | { readonly kind: "reset"; readonly done?: boolean }
  /** Answers rightly, but the connection ends in the middle of the body; or only the bytes do. */
  | { readonly kind: "cut" | "pause" }
  /** Answers with a body that only the end of the connection ends. */
  | { readonly kind: "unframed" }
  /** Carries out a request whose body is cut off, with as much of it as came: a server that is not atomic. */
  | { readonly kind: "keep" };

export interface FaultyS3 extends AsyncDisposable, MemoryS3 {
  readonly endpoint: string;
  /** Requests whose head has come, in order. */
  readonly calls: readonly S3Call[];
  /** Called once for every request; nothing means that all goes well. */
  faultFor: (call: S3Call) => Fault | undefined;
  /** Requests whose connection ended before all of the body had come. */
  readonly cuts: readonly S3Call[];
  /** Resolves with the next request that matches, once its head has come. */
  arrival(matches: (call: S3Call) => boolean): Promise<S3Call>;
  /** Resolves when no connection is open, kept ones included. */
  idle(): Promise<void>;
}

/** A small S3 in memory on a raw socket. It checks no signature: it is there to misbehave, not to judge. */
export async function startFaultyS3(): Promise<FaultyS3> {
  const memory = createMemoryS3();
  const calls: S3Call[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const cuts: S3Call[] = [];
  const waiting = new Set<(call: S3Call) => void>();
  const onIdle = new Set<() => void>();

  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => {
      sockets.delete(socket);
      if (sockets.size > 0) return;
      for (const resolve of onIdle) resolve();
      onIdle.clear();
    });
    serve(socket);
  });

  function begin(head: string, connection: number) {
    const call = parseHead(head, connection);
    calls.push(call);
    const fault = api.faultFor(call);
    for (const resolve of waiting) resolve(call);
    return { call, fault, pieces: [], missing: Number(call.headers.get("content-length") ?? "0") };
  }

  function serve(socket: Socket): void {
    const connection = ++connections;
    let unread: Buffer = Buffer.alloc(0);
    let current: { call: S3Call; fault: Fault | undefined; pieces: Buffer[]; missing: number } | undefined;

    socket.on("close", () => {
      if (current !== undefined && current.missing > 0) cuts.push(current.call);
      if (current?.fault?.kind === "keep") memory.handle(current.call, Buffer.concat(current.pieces));
    });
    socket.on("data", (data: Buffer) => {
      unread = unread.byteLength === 0 ? data : Buffer.concat([unread, data]);
      while (unread.byteLength > 0 || current?.missing === 0) {
        if (current === undefined) {
          const end = unread.indexOf("\r\n\r\n");
          if (end < 0) return;
          current = begin(unread.subarray(0, end).toString("latin1"), connection);
          unread = unread.subarray(end + 4);
          if (current.fault?.kind === "stall") socket.pause();
          if (current.fault?.kind === "answer" && current.fault.early === true) finish();
        }
        if (current === undefined || current.fault?.kind === "stall") return;
        const piece = unread.subarray(0, current.missing);
        unread = unread.subarray(piece.byteLength);
        current.pieces.push(piece);
        current.missing -= piece.byteLength;
        if (current.missing > 0) return;
        finish();
      }
    });

    function finish(): void {
      if (current === undefined) return;
      const { call, fault, pieces } = current;
      current = undefined;
      if (fault?.kind === "hang") {
        const carryOut = () => void memory.handle(call, Buffer.concat(pieces));
        if (fault.done === true) carryOut();
        else if (fault.done instanceof Promise) void fault.done.then(carryOut);
        return;
      }
      if (fault?.kind === "answer") {
        const body = fault.body ?? "";
        write(fault.status, call.method === "HEAD" ? "" : body, fault.headers ?? {}, undefined, body.length);
        if (fault.early === true) socket.end();
        return;
      }
      if (fault?.kind === "unframed") return void socket.end("HTTP/1.1 200 OK\r\n\r\nbytes");
      if (fault?.kind === "reset" && fault.done !== true) return void socket.resetAndDestroy();
      const answer = memory.handle(call, Buffer.concat(pieces));
      if (fault?.kind === "reset") return void socket.resetAndDestroy();
      const isHead = call.method === "HEAD";
      write(answer.status, isHead ? "" : answer.body, { ...answer.headers }, fault?.kind, answer.body.length);
    }

    function write(
      status: number,
      body: string | Uint8Array,
      headers: Readonly<Record<string, string>>,
      fault?: Fault["kind"],
      length = body.length,
    ): void {
      const lines = Object.entries({ ...headers, "Content-Length": String(length) }).map(([n, v]) => `${n}: ${v}\r\n`);
      socket.write(`HTTP/1.1 ${status} Status\r\n${lines.join("")}\r\n`);
      socket.write(fault === "cut" || fault === "pause" ? body.slice(0, body.length / 2) : body);
      if (fault === "cut") socket.end();
    }
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no address");
  const own: Omit<FaultyS3, keyof MemoryS3> = {
    endpoint: `http://127.0.0.1:${address.port}`,
    calls,
    cuts,
    faultFor: () => undefined,
    arrival: (matches) =>
      new Promise((resolve) => {
        const onCall = (call: S3Call) => {
          if (!matches(call)) return;
          waiting.delete(onCall);
          resolve(call);
        };
        waiting.add(onCall);
      }),
    idle: () => (sockets.size === 0 ? Promise.resolve() : new Promise((resolve) => onIdle.add(resolve))),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  const api: FaultyS3 = Object.assign(memory, own);
  return api;
}

function parseHead(head: string, connection: number): S3Call {
  const [requestLine = "", ...lines] = head.split("\r\n");
  const [method = "", target = ""] = requestLine.split(" ");
  const url = new URL(target, "http://s3");
  const headers = new Headers(
    lines.map((line): [string, string] => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]),
  );
  return {
    method,
    path: url.pathname,
    key: decodeURIComponent(url.pathname.split("/").slice(2).join("/")),
    query: url.searchParams,
    headers,
    connection,
  };
}
