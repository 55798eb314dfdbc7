import { describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { createConnector } from "../../src/http/connect.ts";
import { HttpError } from "../../src/http/http-error.ts";
import type { SocketTransport } from "../../src/http/transport/socket-transport.ts";
import { systemCode } from "../../src/http/transport/tls.ts";
import { FakeClock, turn } from "../support/clock.ts";
import { eventually } from "../support/eventually.ts";
import { Authority, hasOpenssl, startOpenssl } from "./odd-certificates.ts";
import { Flood, numbered, type RawServer, startServer, startTlsServer, untilStill } from "./raw-server.ts";
import { Recorder } from "./recorder.ts";

const MIB = 2 ** 20;
const authority = hasOpenssl ? new Authority("Test Authority") : undefined;
const certificate = authority?.sign({ names: "DNS:x.test" });

interface Kind {
  readonly name: string;
  readonly by: "connect" | "connectByNode";
  readonly isEncrypted: boolean;
}

const KINDS: readonly Kind[] = [
  { name: "a plain stream by Bun", by: "connect", isEncrypted: false },
  { name: "a plain stream by node", by: "connectByNode", isEncrypted: false },
  { name: "a TLS stream by Bun", by: "connect", isEncrypted: true },
  { name: "a TLS stream by node", by: "connectByNode", isEncrypted: true },
];

function start(kind: Kind, serve: (socket: Socket) => void): Promise<RawServer> {
  if (!kind.isEncrypted) return startServer(serve);
  if (certificate === undefined) throw new Error("openssl is not installed");
  return startTlsServer(certificate, serve);
}

function open(kind: Kind, port: number): Promise<SocketTransport> {
  const tls = kind.isEncrypted && authority ? { serverName: "x.test", ca: [authority.pem] } : undefined;
  const limits = { connectTimeoutMs: 1000, tlsTimeoutMs: 1000, signal: new AbortController().signal };
  return createConnector({ clock: new FakeClock() })[kind.by]({ addresses: ["127.0.0.1"], port, tls, ...limits });
}

const usable = KINDS.filter((kind) => !kind.isEncrypted || hasOpenssl);

describe.each(usable.map((kind) => [kind.name, kind] as const))("%s", (_, kind) => {
  test("gives all data, then one proper end", async () => {
    await using server = await start(kind, (socket) => socket.end(numbered(4 * MIB)));
    const got = new Recorder(await open(kind, server.port));
    expect(await got.ended).toBeUndefined();
    expect(got.bytes.equals(numbered(4 * MIB))).toBe(true);
    await turn();
    expect(got.events).toEqual(["data", "closed"]);
  });

  test("holds the peer back while it is paused, and gives the rest before the end after resume", async () => {
    const total = 32 * MIB;
    const flood = new Flood(total);
    await using server = await start(kind, (socket) => flood.into(socket));
    const transport = await open(kind, server.port);
    const got = new Recorder(transport);
    got.onData = () => transport.pause();
    await got.hasData;
    const whilePaused = got.length;
    await untilStill(() => flood.sent);
    expect(flood.sent).toBeLessThan(total);
    expect(got.length).toBe(whilePaused);
    got.onData = () => {};
    transport.resume();
    expect(await got.ended).toBeUndefined();
    expect(got.length).toBe(total);
  });

  test("keeps the data of a peer that wrote 4 MiB and closed, while it is paused", async () => {
    await using server = await start(kind, (socket) => socket.end(numbered(4 * MIB)));
    const transport = await open(kind, server.port);
    const got = new Recorder(transport);
    transport.pause();
    transport.pause();
    await untilStill(() => server.sockets[0]?.bytesWritten);
    expect(got.length).toBe(0);
    transport.resume();
    expect(await got.ended).toBeUndefined();
    expect(got.bytes.equals(numbered(4 * MIB))).toBe(true);
  });

  test("can be paused within each chunk", async () => {
    await using server = await start(kind, (socket) => socket.end(numbered(4 * MIB)));
    const transport = await open(kind, server.port);
    const got = new Recorder(transport);
    let isPaused = false;
    let whilePaused = 0;
    got.onData = (chunk) => {
      if (isPaused) whilePaused += chunk.length;
      isPaused = true;
      transport.pause();
      setImmediate(() => {
        isPaused = false;
        transport.resume();
      });
    };
    expect(await got.ended).toBeUndefined();
    expect(whilePaused).toBe(0);
    expect(got.bytes.equals(numbered(4 * MIB))).toBe(true);
  });

  test("keeps data that arrived before it had a handler", async () => {
    await using server = await start(kind, (socket) => socket.end("hello"));
    const transport = await open(kind, server.port);
    await eventually("the end", () => transport.heldBytes === 5 || undefined);
    await turn();
    const got = new Recorder(transport);
    expect(got.events).toEqual([]);
    expect(await got.ended).toBeUndefined();
    expect(got.text).toBe("hello");
  });

  test("goes to another handler with the bytes that the last one did not need", async () => {
    await using server = await start(kind, (socket) => socket.end("head|tail"));
    const transport = await open(kind, server.port);
    const first = new Recorder(transport);
    await first.ended;
    transport.detach(first.bytes.subarray(5));
    const second = new Recorder(transport);
    expect(await second.ended).toBeUndefined();
    expect(second.text).toBe("tail");
  });

  test("sends the rest that the socket did not take, then calls drained", async () => {
    const received = Promise.withResolvers<Buffer>();
    const goOn = Promise.withResolvers<void>();
    const chunks: Buffer[] = [];
    await using server = await start(kind, (socket) => {
      socket.pause();
      socket.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        if (chunks.reduce((sum, each) => sum + each.length, 0) === 16 * MIB + 3)
          received.resolve(Buffer.concat(chunks));
      });
      void goOn.promise.then(() => socket.resume());
    });
    const transport = await open(kind, server.port);
    const got = new Recorder(transport);
    const bytes = numbered(16 * MIB);
    expect(transport.write(bytes)).toBe(false);
    // What was handed over may change.
    bytes.fill(0);
    goOn.resolve();
    await got.hasDrained;
    transport.write(new TextEncoder().encode("end"));
    const all = await received.promise;
    expect(all.subarray(0, 16 * MIB).equals(numbered(16 * MIB))).toBe(true);
    expect(all.subarray(16 * MIB).toString()).toBe("end");
    transport.destroy();
  });

  test("reports a reset with its code", async () => {
    await using server = await start(kind, (socket) => socket.write("hello"));
    const got = new Recorder(await open(kind, server.port));
    await got.hasData;
    server.sockets[0]?.resetAndDestroy();
    expect(systemCode(await got.ended)).toBe("ECONNRESET");
    await turn();
    expect(got.events).toEqual(["data", "closed"]);
  });

  test("is silent after destroy, and closes the stream of the peer", async () => {
    await using server = await start(kind, (socket) => {
      const fill = () => {
        while (socket.write(numbered(64 * 1024)));
      };
      socket.on("drain", fill);
      fill();
    });
    const transport = await open(kind, server.port);
    const got = new Recorder(transport);
    await got.hasData;
    transport.destroy();
    transport.destroy();
    const { events, length } = got;
    const before = events.length;
    await eventually("the peer's close", () => server.sockets[0]?.destroyed || undefined);
    expect(got.length).toBe(length);
    expect(events.length).toBe(before);
    expect(transport.write(numbered(4))).toBe(false);
    transport.pause();
    transport.resume();
  });

  test("can be destroyed by its handler within a chunk", async () => {
    await using server = await start(kind, (socket) => socket.end(numbered(MIB)));
    const transport = await open(kind, server.port);
    const got = new Recorder(transport);
    got.onData = () => transport.destroy();
    await got.hasData;
    await eventually("the peer's close", () => server.sockets[0]?.destroyed || undefined);
    expect(got.chunks.length).toBe(1);
    expect(got.events).toEqual(["data"]);
  });

  test("ends with the error that its handler throws", async () => {
    await using server = await start(kind, (socket) => socket.resume().write("hello"));
    const got = new Recorder(await open(kind, server.port));
    const error = new Error("a fault of the handler");
    got.onData = () => {
      throw error;
    };
    expect(await got.ended).toBe(error);
    const [socket] = server.sockets;
    await eventually("the peer's close", () => socket?.destroyed || socket?.readableEnded || undefined);
  });

  test("knows the peer's address", async () => {
    await using server = await start(kind, () => {});
    const transport = await open(kind, server.port);
    expect(transport.address).toBe("127.0.0.1");
    transport.destroy();
  });

  test("lets the process end if it does not keep it alive", async () => {
    await using server = await start(kind, (socket) => socket.write("hello"));
    const child = Bun.spawn([process.execPath, `${import.meta.dir}/idle-client.ts`], {
      env: { ...process.env, KIND: kind.by, PORT: String(server.port), CA: kind.isEncrypted ? authority?.file : "" },
      stdout: "pipe",
      stderr: "inherit",
    });
    expect(await child.exited).toBe(0);
    expect(await child.stdout.text()).toBe("idle\n");
  });
});

describe.skipIf(!hasOpenssl)("TLS that breaks after the handshake", () => {
  const certificateFile = certificate?.file ?? "";

  test.each(usable.filter((kind) => kind.isEncrypted).map((kind) => [kind.name, kind] as const))(
    "%s: a demand for a client certificate, which TLS 1.3 makes after the handshake, is an error of TLS",
    async (_, kind) => {
      using server = await startOpenssl(certificateFile, ["-Verify", "1"]);
      const got = new Recorder(await open(kind, server.port));
      const error = await got.ended;
      expect(error).toBeInstanceOf(HttpError);
      expect(error).toMatchObject({ kind: "tls", code: "ERR_SSL_TLSV1_ALERT_CERTIFICATE_REQUIRED", phase: "tls" });
      expect(error?.message).toContain("the server demands a client certificate");
    },
  );

  test.each(usable.filter((kind) => kind.isEncrypted).map((kind) => [kind.name, kind] as const))(
    "%s: a record that cannot be decrypted is no proper end",
    async (_, kind) => {
      await using server = await start(kind, (socket) => socket.write("hello"));
      await using middle = await startServer((socket) => {
        const onwards = connect(server.port, "127.0.0.1");
        socket.pipe(onwards).pipe(socket);
      });
      const got = new Recorder(await open(kind, middle.port));
      await got.hasData;
      middle.sockets[0]?.write(Buffer.from([0x17, 3, 3, 0, 32, ...Buffer.alloc(32, 7)]));
      const error = await got.ended;
      expect(error).toBeInstanceOf(Error);
      expect(error).not.toBeInstanceOf(HttpError);
      expect(got.text).toBe("hello");
    },
  );
});
