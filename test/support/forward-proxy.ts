import { once } from "node:events";
import { createServer, request as httpRequest } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { type Duplex, pipeline } from "node:stream";

export interface ForwardProxyOptions {
  /** `user:password` that is asked for with 407. */
  readonly credentials?: string;
  /** Status with which tunnels are refused. */
  readonly refusesTunnels?: number;
}

export interface ForwardProxy extends AsyncDisposable {
  readonly url: string;
  /** What was asked for, in order: `GET http://…` or `CONNECT host:port`. */
  readonly asked: string[];
  /** The credentials that came, as they were sent. */
  readonly authorizations: (string | undefined)[];
}

/** A proxy for http (absolute form) and for tunnels (CONNECT), on a loopback address. */
export async function startForwardProxy(options: ForwardProxyOptions = {}): Promise<ForwardProxy> {
  const asked: string[] = [];
  const authorizations: (string | undefined)[] = [];
  const sockets = new Set<Duplex>();
  const wanted = options.credentials === undefined ? undefined : `Basic ${btoa(options.credentials)}`;

  const server = createServer((incoming, answer) => {
    asked.push(`${incoming.method} ${incoming.url}`);
    authorizations.push(incoming.headers["proxy-authorization"]);
    if (wanted !== undefined && incoming.headers["proxy-authorization"] !== wanted) {
      answer.writeHead(407, { "Proxy-Authenticate": 'Basic realm="test"' }).end("who are you?");
      return;
    }
    const { "proxy-authorization": _, "proxy-connection": __, ...headers } = incoming.headers;
    const outgoing = httpRequest(incoming.url ?? "", { method: incoming.method, headers, agent: false }, (reply) => {
      answer.writeHead(reply.statusCode ?? 502, reply.headers);
      pipeline(reply, answer, () => {});
    });
    outgoing.on("error", () => answer.writeHead(502).end("no answer from there"));
    outgoing.end();
  });
  server.on("connection", (socket) => sockets.add(socket));
  server.on("connect", (incoming, client: Duplex) => {
    asked.push(`CONNECT ${incoming.url}`);
    authorizations.push(incoming.headers["proxy-authorization"]);
    const isKnown = wanted === undefined || incoming.headers["proxy-authorization"] === wanted;
    const refusal = isKnown ? options.refusesTunnels : 407;
    if (refusal !== undefined) {
      client.end(`HTTP/1.1 ${refusal} no\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    const [host = "", port = ""] = (incoming.url ?? "").split(":");
    const tunnel = connect(Number(port), host, () => {
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      tunnel.pipe(client).pipe(tunnel);
    });
    sockets.add(tunnel);
    for (const side of [tunnel, client]) side.on("error", () => [tunnel, client].forEach((other) => other.destroy()));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    authorizations,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
