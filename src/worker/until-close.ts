import type { IncomingMessage } from "node:http";
import { Failure } from "../jobs/failure.ts";

/** A GET for an answer whose body may end with its connection. */
export interface UntilCloseRequest {
  readonly url: URL;
  /** Where to connect to: an address, not a name. */
  readonly address: string;
  readonly port: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The name that TLS verifies; absent where the URL has an address. */
  readonly serverName?: string | undefined;
  readonly headerBytesMax: number;
  readonly signal: AbortSignal;
}

/** More interim answers (1xx) than any server has reason to send. */
const INTERIM_MAX = 100;
/** Hosts remembered at most; the one that is known longest goes first. */
const HOSTS_MAX = 10_000;

/** Hosts that end bodies by closing the connection: they are asked in this way from the start. */
export class ClosingHosts {
  readonly #hosts = new Set<string>();

  has(host: string): boolean {
    return this.#hosts.has(host);
  }

  add(host: string): void {
    this.#hosts.delete(host);
    if (this.#hosts.size >= HOSTS_MAX) this.#hosts.delete(this.#hosts.values().next().value ?? "");
    this.#hosts.add(host);
  }
}

/**
 * Whether nothing but the end of the connection tells where the body ends (RFC 9112, 6.3): it has neither a length nor
 * chunks. What is missing of such a body cannot be seen, except where the connection is reset.
 */
export function endsByClose(headers: Headers): boolean {
  return !headers.has("content-length") && !headers.has("transfer-encoding");
}

/**
 * Sends a GET by a client that tells a reset of the connection from its end, which Bun's fetch does not: the body of
 * such an answer then fails. It costs a connection, and three times the work.
 */
export async function getUntilClose(request: UntilCloseRequest): Promise<Response> {
  const { url, serverName, signal } = request;
  const options = {
    host: request.address,
    port: request.port,
    path: `${url.pathname}${url.search}`,
    headers: { ...request.headers, Host: url.host, Connection: "close" },
    agent: false,
    maxHeaderSize: request.headerBytesMax,
    signal,
  } as const;
  const secure = url.protocol === "https:";
  // Few hosts need it, and to load it takes a tenth of the start.
  const client = secure ? await import("node:https") : await import("node:http");
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const sent = client.request({ ...options, ...(secure && serverName !== undefined && { servername: serverName }) });
    let broken: Error | undefined;
    sent.on("error", (error) => {
      // A reset within the body comes as the request's error; the body then ends as if it were whole.
      broken = error;
      reject(error);
    });
    // No end of the exchange may leave the promise open, whatever the client makes of the answer.
    sent.on("close", () =>
      reject(broken ?? new Failure("DOWNLOAD_RESET", "the connection was closed before an answer")),
    );
    sent.on("upgrade", (_message, socket) => {
      socket.destroy();
      reject(new Failure("DOWNLOAD_PROTOCOL_ERROR", "the host changes to a protocol that nobody asked for (101)"));
    });
    let interim = 0;
    sent.on("information", () => {
      if (++interim > INTERIM_MAX) sent.destroy(new Failure("DOWNLOAD_PROTOCOL_ERROR", "interim answers without end"));
    });
    sent.on("response", (message) => {
      try {
        resolve(responseOf(message, () => broken));
      } catch (error) {
        message.destroy();
        reject(error);
      }
    });
    sent.end();
  });
}

/** @throws Failure DOWNLOAD_PROTOCOL_ERROR */
function responseOf(message: IncomingMessage, broken: () => Error | undefined): Response {
  const status = message.statusCode ?? 0;
  if (status < 200 || status > 599) throw invalidStatus(status);
  return new Response(bodyOf(message, broken), { status, headers: headersOf(message) });
}

/** A status that RFC 9110 (section 15) does not know, from a host that may answer better next time. */
export function invalidStatus(status: number): Failure {
  return new Failure("DOWNLOAD_PROTOCOL_ERROR", `the host answered ${status}, which is no valid HTTP status`);
}

function headersOf(message: IncomingMessage): Headers {
  const headers = new Headers();
  for (let at = 0; at + 1 < message.rawHeaders.length; at += 2) {
    headers.append(message.rawHeaders[at] ?? "", message.rawHeaders[at + 1] ?? "");
  }
  return headers;
}

function bodyOf(message: IncomingMessage, broken: () => Error | undefined): ReadableStream<Uint8Array> {
  const chunks: AsyncIterator<Uint8Array> = message[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await chunks.next();
        const error = broken();
        if (error !== undefined) throw error;
        if (done === true) controller.close();
        else controller.enqueue(value);
      },
      cancel() {
        message.destroy();
      },
    },
    { highWaterMark: 0 },
  );
}
