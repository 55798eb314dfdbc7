import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { eventually } from "./eventually.ts";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** An answer that stops in its middle until it is released; then, and for every later request, it is whole. */
export interface Held {
  readonly url: string;
  /** Resolves when a client has been sent the first part. */
  readonly reached: Promise<void>;
  release(): void;
}

/** A web server for downloads, on a loopback address. */
export interface Origin extends AsyncDisposable {
  readonly url: string;
  /** Serves a body under a path, and gives its URL. `chunked`: of unknown length. */
  serve(path: string, body: Uint8Array | string, options?: { chunked?: boolean; type?: string }): string;
  /** Serves as much of a body as `bytes` says, then waits. */
  hold(path: string, body: Uint8Array, options?: { chunked?: boolean; bytes?: number }): Held;
  answer(path: string, answer: Answer): string;
  /** How many requests came, of a path or in all. */
  hits(path?: string): number;
  /** Resolves when so many requests have come in all. */
  reached(hits: number): Promise<void>;
  /** The headers of the last request of a path, as name and value in turn. */
  headers(path: string): readonly string[];
}

export async function startOrigin(): Promise<Origin> {
  const answers = new Map<string, Answer>();
  const requests: { path: string; headers: readonly string[] }[] = [];
  const server = createServer((request, response) => {
    const path = (request.url ?? "").split("?", 1)[0] ?? "";
    requests.push({ path, headers: request.rawHeaders });
    const answer = answers.get(path);
    if (answer === undefined) response.writeHead(404).end("nothing here");
    else answer(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  function answer(path: string, how: Answer): string {
    answers.set(path, how);
    return url + path;
  }

  const origin: Origin = {
    url,
    answer,
    serve(path, body, { chunked = false, type } = {}) {
      const bytes = Buffer.from(body);
      return answer(path, (_request, response) => {
        response.writeHead(200, headersOf(chunked ? undefined : bytes.byteLength, type));
        // A body that ends with the head in one call would be given a length.
        if (chunked) response.flushHeaders();
        response.end(bytes);
      });
    },
    hold(path, body, { chunked = false, bytes = 0 } = {}) {
      const reached = Promise.withResolvers<void>();
      const released = Promise.withResolvers<void>();
      const answered = answer(path, (_request, response) => {
        response.writeHead(200, headersOf(chunked ? undefined : body.byteLength));
        response.flushHeaders();
        const held = () => {
          reached.resolve();
          void released.promise.then(() => response.end(body.subarray(bytes)));
        };
        if (bytes === 0) held();
        else response.write(body.subarray(0, bytes), held);
      });
      return { url: answered, reached: reached.promise, release: () => released.resolve() };
    },
    hits: (path) => requests.filter((request) => path === undefined || request.path === path).length,
    reached: async (hits) => {
      await eventually(`${hits} requests`, () => (requests.length >= hits ? true : undefined));
    },
    headers: (path) => requests.findLast((request) => request.path === path)?.headers ?? [],
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
  return origin;
}

function headersOf(length: number | undefined, type = "application/octet-stream"): Record<string, string | number> {
  return { "content-type": type, ...(length !== undefined && { "content-length": length }) };
}
