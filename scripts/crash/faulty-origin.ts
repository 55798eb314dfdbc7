import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { pattern } from "../../test/support/pattern.ts";

const CHUNK = 256 * 1024;

/** An origin whose paths say how it answers, so that the record knows what becomes of each. */
export class FaultyOrigin {
  readonly url: string;
  /** Answers under way, by kind. */
  readonly active = new Map<string, number>();
  hits = 0;
  /** Whether what was gone is there again. */
  isHealed = false;
  readonly #asked = new Map<string, number>();
  readonly #server: ReturnType<typeof createServer>;

  private constructor(server: ReturnType<typeof createServer>, port: number) {
    this.#server = server;
    this.url = `http://127.0.0.1:${port}`;
  }

  static start(): Promise<FaultyOrigin> {
    return new Promise((resolve) => {
      const server = createServer();
      server.listen(0, "127.0.0.1", () => {
        const address = server.address();
        const origin = new FaultyOrigin(server, typeof address === "object" && address !== null ? address.port : 0);
        server.on("request", (request, response) => void origin.#answer(request, response));
        resolve(origin);
      });
    });
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  /** `/KIND/SIZE/SEED/NAME` */
  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.hits++;
    const path = request.url ?? "";
    const [, kind = "", size, seed] = path.split("/");
    const asked = (this.#asked.get(path) ?? 0) + 1;
    this.#asked.set(path, asked);
    this.active.set(kind, (this.active.get(kind) ?? 0) + 1);
    response.on("close", () => this.active.set(kind, (this.active.get(kind) ?? 1) - 1));
    response.on("error", () => {}); // the client was killed
    const body = pattern(Number(size), Number(seed));
    if (kind === "gone" || (kind === "late" && !this.isHealed)) return void response.writeHead(404).end();
    if (kind === "flaky" && asked <= 2) return void response.writeHead(500).end();
    if (kind === "reset" && asked === 1) {
      response.writeHead(200, { "content-length": body.byteLength }).write(body.subarray(0, body.byteLength / 2));
      return void setImmediate(() => response.socket?.resetAndDestroy());
    }
    if (kind !== "chunked") response.setHeader("content-length", body.byteLength);
    response.writeHead(200);
    for (let from = 0; from < body.byteLength && !response.destroyed; from += CHUNK) {
      if (response.write(body.subarray(from, from + CHUNK))) continue;
      await drained(response);
    }
    response.end();
  }
}

/** Until more can be written, or nothing any more. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const resume = () => {
      response.off("drain", resume).off("close", resume);
      resolve();
    };
    response.on("drain", resume).on("close", resume);
  });
}
