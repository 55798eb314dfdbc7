import { expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { startForwardProxy } from "../support/forward-proxy.ts";
import { startOrigin } from "../support/origin.ts";
import { startService } from "../support/service.ts";

setDefaultTimeout(60_000);

/** A server that hears a request and says what it is told to. */
async function startSaying(text: string): Promise<Server & AsyncDisposable> {
  const server = createServer((socket) => void socket.once("data", () => socket.end(text))).listen(0, "127.0.0.1");
  await once(server, "listening");
  return Object.assign(server, { [Symbol.asyncDispose]: async () => void server.close() });
}

const portOf = (server: Server) => (server.address() as AddressInfo).port;

test.each([
  ["nothing", ""],
  ["a banner", "SSH-2.0-OpenSSH_9.2\r\n"],
])("a proxy that answers plain requests with %s costs a healthy host no attempt", async (_, text) => {
  await using origin = await startOrigin();
  await using dead = await startSaying(text);
  await using good = await startForwardProxy();
  await using service = await startService({
    toml: `[proxies.main]\nendpoints = ["http://127.0.0.1:${portOf(dead)}", "${good.url}"]\n`,
    settings: { "queue.max_retries": 0 },
  });
  const url = origin.serve("/a", "abc");
  const resources = Array.from({ length: 10 }, (__, at) => ({ id: `r${at}`, url, proxy_pool: "main" }));
  const job = await service.submit({ manifest_version: "v1", resources });
  expect(await service.finished(job)).toMatchObject({ status: "completed", resource_completed: 10 });
  expect((await service.resources(job)).map(({ attempts }) => attempts)).toEqual(resources.map(() => 1));
});

test("a body of 2 MiB in chunks of one byte is stored whole", async () => {
  const bytes = Buffer.alloc(2 ** 21, "0123456789abcdefg");
  const chunks = Buffer.concat([...bytes].map((byte) => Buffer.from([0x31, 13, 10, byte, 13, 10])));
  const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  await using host = await startSaying(`${head}${chunks.toString("latin1")}0\r\n\r\n`);
  await using service = await startService();
  const resources = [{ id: "a", url: `http://127.0.0.1:${portOf(host)}/a` }];
  const job = await service.submit({ manifest_version: "v1", resources });
  expect(await service.finished(job)).toMatchObject({ status: "completed" });
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  expect(await service.resources(job)).toMatchObject([
    { bytes: bytes.length, sha256, attempts: 1, integrity: "verified" },
  ]);
});
