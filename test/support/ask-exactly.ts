import { connect } from "node:net";

/** The answer of a server to a request whose path no client has rewritten. */
export interface ExactAnswer {
  readonly status: number;
  /** The first line and the fields, in lower case. */
  readonly head: string;
  readonly body: string;
}

/** Sends a request without a body with exactly this path: `fetch` would resolve its dot segments and backslashes. */
export async function askExactly(port: number, method: string, path: string): Promise<ExactAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let text = "";
  const socket = connect(port, "127.0.0.1", () => {
    const fields = ["Host: localhost", "Content-Length: 0", "Connection: close"];
    socket.write(`${method} ${path} HTTP/1.1\r\n${fields.join("\r\n")}\r\n\r\n`);
  });
  socket.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  socket.on("error", reject).on("close", () => resolve(text));
  const [head = "", body = ""] = (await promise).split("\r\n\r\n");
  return { status: Number(head.split(" ")[1]), head: head.toLowerCase(), body };
}
