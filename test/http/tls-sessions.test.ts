import { describe, expect, test } from "bun:test";
import type { AddressInfo } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { createConnector } from "../../src/http/connect.ts";
import { TlsSessions } from "../../src/http/transport/tls-sessions.ts";
import { FakeClock } from "../support/clock.ts";
import { rejectionOf } from "../support/rejection.ts";
import { Authority, hasOpenssl } from "./odd-certificates.ts";
import { Recorder } from "./recorder.ts";

const MINUTE = 60_000;
const LIMITS = { connectTimeoutMs: 1000, tlsTimeoutMs: 1000, signal: new AbortController().signal };

describe.skipIf(!hasOpenssl)("TLS sessions", () => {
  const authority = new Authority("Authority");
  const ca = [authority.pem];
  const certificate = authority.sign({ names: "DNS:a.test, DNS:b.test" });

  async function listen(port: number): Promise<Server> {
    const server = createServer({ ...certificate }, (socket: TLSSocket) => {
      socket.on("error", () => {});
      socket.end(socket.isSessionReused() ? "short" : "full");
    });
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    return server;
  }

  /** A server that says of each connection whether its handshake was short, and a client that asks it. */
  async function startRig() {
    const clock = new FakeClock();
    const connector = createConnector({ clock });
    let server = await listen(0);
    const { port } = server.address() as AddressInfo;
    return {
      clock,
      /** It has other keys for its tickets afterwards. */
      async restart() {
        await new Promise((resolve) => server.close(resolve));
        server = await listen(port);
      },
      async connect(tls: { serverName?: string; ca?: readonly string[] } = {}) {
        const all = { serverName: "a.test", ca, ...tls };
        const got = new Recorder(await connector.connect({ addresses: ["127.0.0.1"], port, tls: all, ...LIMITS }));
        await got.ended;
        return got.text;
      },
      [Symbol.dispose]: () => void server.close(),
    };
  }

  test("make the next handshake with the same server short, for ten minutes", async () => {
    using rig = await startRig();
    expect([await rig.connect(), await rig.connect(), await rig.connect()]).toEqual(["full", "short", "short"]);
    rig.clock.tick(10 * MINUTE);
    expect([await rig.connect(), await rig.connect()]).toEqual(["full", "short"]);
  });

  test("are used for the name and the authorities alone that they were approved with", async () => {
    using rig = await startRig();
    await rig.connect();
    expect(await rig.connect({ serverName: "b.test" })).toBe("full");
    expect(await rig.connect({ ca: [...ca] })).toBe("full");
    expect(await rejectionOf(rig.connect({ serverName: "c.test" }))).toMatchObject({ kind: "tls" });
    expect(await rejectionOf(rig.connect({ ca: [new Authority("Other").pem] }))).toMatchObject({ kind: "tls" });
  });

  test("that the server does not know any more are replaced", async () => {
    using rig = await startRig();
    await rig.connect();
    await rig.restart();
    expect([await rig.connect(), await rig.connect()]).toEqual(["full", "short"]);
  });
});

test("no more sessions are kept than 1024: the one that was kept first is forgotten", () => {
  const sessions = new TlsSessions(new FakeClock());
  const to = (port: number) => ({ address: "127.0.0.1", port, tls: { serverName: "a.test", ca: undefined } });
  for (let port = 0; port <= 1024; port++) sessions.keep(to(port), Buffer.from([1]));
  expect([sessions.find(to(0)), sessions.find(to(1))?.length]).toEqual([undefined, 1]);
  sessions.forget(to(1));
  expect(sessions.find(to(1))).toBeUndefined();
});
