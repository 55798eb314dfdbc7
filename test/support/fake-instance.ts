import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

export interface SeenRequest {
  /** The number of the instance that received it. */
  readonly instance: number;
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** The answer of a fake instance: the request as it arrived. */
export interface Echo extends SeenRequest {
  readonly body: string;
}

/** A server in the place of an instance: it shows the requests that a router sends. */
export class FakeInstance implements AsyncDisposable {
  readonly number: number;
  readonly port: number;
  readonly #seen: SeenRequest[];
  /** `undefined`: it does not answer the question. */
  isReady: boolean | undefined = true;
  /** Answers instead of the echo. */
  answer: ((request: IncomingMessage, response: ServerResponse) => void | Promise<void>) | undefined;
  #server: ReturnType<typeof createServer> | undefined;

  /** `seen` takes all requests but those for the readiness. */
  constructor(number: number, port: number, seen: SeenRequest[]) {
    this.number = number;
    this.port = port;
    this.#seen = seen;
  }

  async start(): Promise<void> {
    this.#server = createServer((request, response) => this.#take(request, response));
    this.#server.listen(this.port, "127.0.0.1");
    await once(this.#server, "listening");
  }

  /** The port refuses connections from now on. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    const { method = "", url = "", headers } = request;
    if (url === "/health/ready") {
      if (this.isReady === undefined) return;
      response.writeHead(this.isReady ? 200 : 503).end(JSON.stringify({ status: "ready", instance: this.number }));
      return;
    }
    const arrived = { instance: this.number, method, url, headers };
    this.#seen.push(arrived);
    if (this.answer !== undefined) return void this.answer(request, response);
    let body = "";
    request.setEncoding("latin1").on("data", (chunk: string) => (body += chunk));
    request.on("end", () => {
      const echo: Echo = { ...arrived, body };
      response.writeHead(200, { "content-type": "application/json", location: "/operators/dlq/operations/7" });
      response.end(JSON.stringify(echo));
    });
  }
}
