import { expect, test } from "bun:test";
import { createServer, type Server, type Socket } from "node:net";
import { exitCodeOf } from "../../src/cli/exit-code.ts";
import { BusyError, RemoteClient, UnreachableError } from "../../src/cli/remote/remote-client.ts";
import { rejectionOf } from "../support/rejection.ts";

const MANIFEST = new TextEncoder().encode("{}");

/** A server that says `head` to whatever comes, and then nothing more. */
async function silent(head: string) {
  const sockets: Socket[] = [];
  const server: Server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {}).once("data", () => socket.write(head));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const url = `http://127.0.0.1:${port}`;
  const limits = { anyMs: 200, submitMs: 300 };
  return {
    url,
    sockets,
    client: new RemoteClient({ server: url, token: undefined, env: {}, limits }),
    [Symbol.dispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

test.each([
  ["nothing", ""],
  ["a head and no body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"],
  ["a refusal without its end", "HTTP/1.1 500 No\r\nContent-Length: 10\r\n\r\n{"],
])("a service that accepts and answers %s is not waited for any longer than the limit", async (_what, head) => {
  using at = await silent(head);
  for (const [ask, limit] of [
    [() => at.client.get("/operators/queue"), "200 ms"],
    [() => at.client.getEvenIf(503, "/operators/health"), "200 ms"],
    [() => at.client.post("/operators/queue/pause"), "200 ms"],
    [() => at.client.delete("/operators/dlq/1"), "200 ms"],
    [() => at.client.submit(MANIFEST, {}), "300 ms"],
  ] as const) {
    const error = (await rejectionOf(ask())) as Error;
    expect(error).toBeInstanceOf(UnreachableError);
    expect(error.message).toStartWith(`${at.url} did not answer within ${limit}; `);
    expect(exitCodeOf(error)).toBe(1);
  }
});

test("a follower is limited until its head and no longer", async () => {
  using mute = await silent("");
  const follow = (client: RemoteClient) => client.follow("/x", { level: undefined }, "text/event-stream");
  expect(((await rejectionOf(follow(mute.client))) as Error).message).toContain("did not answer within 200 ms");
  using at = await silent("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 4\r\n\r\n");
  const response = await follow(at.client);
  // Another request, whose limit begins later, is over: so is that of the follower.
  await rejectionOf(at.client.get("/x"));
  at.sockets[0]?.write("late");
  expect(await response.text()).toBe("late");
});

test.each([
  ["503 Busy", "Retry-After: 2\r\n", 2000],
  ["429 Busy", "Retry-After: 1\r\n", 1000],
  ["503 Busy", "", undefined],
  ["502 Bad", "Retry-After: 2\r\n", undefined],
])("a proxy's %s with %p is waited for %p ms", async (status, headers, waitMs) => {
  using at = await silent(`HTTP/1.1 ${status}\r\n${headers}Content-Length: 6\r\n\r\n<html>`);
  const error = (await rejectionOf(at.client.submit(MANIFEST, {}))) as Error;
  expect(error.message).toBe(`the server answered ${status.slice(0, 3)}: <html>`);
  expect(error instanceof BusyError ? error.retryAfterMs : undefined).toBe(waitMs as number);
});
