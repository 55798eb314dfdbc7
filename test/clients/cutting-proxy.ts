import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A TCP proxy before the service that can cut connections. */
export interface CuttingProxy extends AsyncDisposable {
  readonly url: string;
  /** The heads of all requests so far. */
  readonly requests: string[];
  /** Cuts the connection that answers the next request with this in its head, before a byte of the answer. */
  cutAnswer(head: string): void;
  /** Cuts the connection of the next answer as soon as it contains a text. */
  cutAfter(text: string): void;
}

export async function startCuttingProxy(target: string): Promise<CuttingProxy> {
  const { hostname, port } = new URL(target);
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  let headToCut: string | undefined;
  let textToCut: string | undefined;
  const server = createServer((client) => {
    const service = connect(Number(port), hostname);
    let isCut = false;
    let answer = "";
    for (const socket of [client, service]) {
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    }
    const cut = () => {
      client.destroy();
      service.destroy();
    };
    client.on("data", (bytes) => {
      const text = bytes.toString("latin1");
      if (/^[A-Z]+ \S+ HTTP\/1\.1\r\n/.test(text)) requests.push(text.split("\r\n\r\n", 1)[0] ?? "");
      if (headToCut !== undefined && text.includes(headToCut)) {
        isCut = true;
        headToCut = undefined;
      }
      service.write(bytes);
    });
    service.on("data", (bytes) => {
      if (isCut) return cut();
      client.write(bytes);
      answer += bytes.toString("latin1");
      if (textToCut === undefined || !answer.includes(textToCut)) return;
      textToCut = undefined;
      // The client gets the bytes so far, as from a service that ended.
      client.end(() => service.destroy());
    });
    client.on("close", () => service.destroy());
    service.on("close", () => client.end());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    cutAnswer: (head) => (headToCut = head),
    cutAfter: (text) => (textToCut = text),
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
