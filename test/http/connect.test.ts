import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { type ConnectOptions, type Connector, createConnector } from "../../src/http/connect.ts";
import { HttpError } from "../../src/http/http-error.ts";
import { interleaveFamilies } from "../../src/http/race.ts";
import { FakeClock } from "../support/clock.ts";
import { eventually } from "../support/eventually.ts";
import { rejectionOf } from "../support/rejection.ts";
import { canBeSilent, pendingConnects, startBlackHole } from "./black-hole.ts";
import { refusingPort, startServer } from "./raw-server.ts";
import { Recorder } from "./recorder.ts";

// A connect that waits for a full backlog is repeated by the kernel after 1, 3 and 7 s.
setDefaultTimeout(60_000);

const WAYS = ["connect", "connectByNode"] as const;
if (!canBeSilent) console.log("connects to silent addresses: skipped, they need python3 on Linux");

interface Rig {
  readonly clock: FakeClock;
  readonly connector: Connector;
  readonly abort: AbortController;
  readonly options: (more: Pick<ConnectOptions, "addresses" | "port"> & Partial<ConnectOptions>) => ConnectOptions;
}

function makeRig(bunConnectsMax?: number, answeredConnectsMax?: number): Rig {
  const clock = new FakeClock();
  const abort = new AbortController();
  return {
    clock,
    abort,
    connector: createConnector({
      clock,
      ...(bunConnectsMax !== undefined && { bunConnectsMax }),
      ...(answeredConnectsMax !== undefined && { answeredConnectsMax }),
    }),
    options: (more) => ({ connectTimeoutMs: 1000, tlsTimeoutMs: 500, signal: abort.signal, ...more }),
  };
}

/** Two addresses on one port, of which the second one answers. */
async function startPair(serve: (socket: Socket) => void) {
  const server = await startServer(serve, "127.0.0.2");
  const hole = await startBlackHole("127.0.0.1", server.port);
  return { server, hole, addresses: [hole.address, "127.0.0.2"], port: server.port };
}

/** A server on a port where nobody listens at some other addresses: other tests' servers may have got its number. */
async function startAlone(address: string, others: readonly string[]) {
  for (;;) {
    const server = await startServer(() => {}, address);
    const taken = await Promise.all(others.map((other) => isTaken(other, server.port)));
    if (!taken.includes(true)) return server;
    await server[Symbol.asyncDispose]();
  }
}

async function isTaken(address: string, port: number): Promise<boolean> {
  const socket = connect({ host: address, port });
  const answer = await Promise.race([
    once(socket, "connect").then(() => true),
    once(socket, "close").then(() => false),
  ]).catch(() => false);
  socket.destroy();
  return answer;
}

test("families take turns, and the first address stays first", () => {
  expect(interleaveFamilies(["::1", "::2", "::3", "1.1.1.1", "2.2.2.2"])).toEqual([
    "::1",
    "1.1.1.1",
    "::2",
    "2.2.2.2",
    "::3",
  ]);
  expect(interleaveFamilies(["1.1.1.1", "::1", "::2", "::3"])).toEqual(["1.1.1.1", "::1", "::2", "::3"]);
  expect(interleaveFamilies(["1.1.1.1"])).toEqual(["1.1.1.1"]);
  expect(interleaveFamilies([])).toEqual([]);
});

describe.each(WAYS)("%s", (by) => {
  test("connects to IPv4 and IPv6 addresses, and leaves no timer", async () => {
    const { clock, connector, options } = makeRig();
    for (const address of ["127.0.0.1", "::1"]) {
      await using server = await startServer((socket) => socket.end("hello"), address);
      const transport = await connector[by](options({ addresses: [address], port: server.port }));
      expect(transport.address).toBe(address);
      const got = new Recorder(transport);
      await got.ended;
      expect(got.text).toBe("hello");
    }
    expect(clock.pending).toBe(0);
  });

  test("starts the next connect at once when an address refuses", async () => {
    const { clock, connector, options } = makeRig();
    const silent = ["127.0.0.1", "::1", "127.0.0.2"];
    await using server = await startAlone("127.0.0.3", silent);
    const addresses = [...silent, "127.0.0.3"];
    const transport = await connector[by](options({ addresses, port: server.port }));
    expect(transport.address).toBe("127.0.0.3");
    transport.destroy();
    expect(clock.pending).toBe(0);
  });

  test("names each address with its code if all refuse", async () => {
    const { clock, connector, options } = makeRig();
    const port = await refusingPort();
    const error = await rejectionOf(connector[by](options({ addresses: ["127.0.0.1", "127.0.0.2", "::1"], port })));
    expect(error).toBeInstanceOf(HttpError);
    expect(error).toMatchObject({ kind: "connect", code: "ECONNREFUSED", phase: "connect" });
    expect((error as HttpError).message).toBe(
      `no connection to port ${port}: 127.0.0.1 ECONNREFUSED, ::1 ECONNREFUSED, 127.0.0.2 ECONNREFUSED`,
    );
    expect(clock.pending).toBe(0);
  });

  test("refuses to connect to no address", async () => {
    const { clock, connector, options } = makeRig();
    expect(await rejectionOf(connector[by](options({ addresses: [], port: 1 })))).toMatchObject({ kind: "connect" });
    expect(clock.pending).toBe(0);
  });

  test("does not begin with a signal that has aborted", async () => {
    const { abort, clock, connector, options } = makeRig();
    await using server = await startServer(() => {});
    abort.abort(new Error("stop"));
    const attempt = connector[by](options({ addresses: ["127.0.0.1"], port: server.port }));
    expect(await rejectionOf(attempt)).toBe(abort.signal.reason);
    expect(server.sockets).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  test("an abort during the connect closes the socket, even one that connects later", async () => {
    const { abort, clock, connector, options } = makeRig();
    await using server = await startServer(() => {});
    // The connect is under way once the connector's modules are loaded.
    (await connector[by](options({ addresses: ["127.0.0.1"], port: server.port }))).destroy();
    const attempt = connector[by](options({ addresses: ["127.0.0.1"], port: server.port }));
    await eventually("the connect to begin", () => clock.pending > 0 || undefined);
    abort.abort(new Error("stop"));
    expect(await rejectionOf(attempt)).toBe(abort.signal.reason);
    expect(clock.pending).toBe(0);
    await eventually("the close", () => {
      const isClosed = server.sockets.every((socket) => socket.destroyed || socket.readableEnded);
      return (isClosed && connector.abandoned === 0) || undefined;
    });
  });
});

describe.skipIf(!canBeSilent)("an address that is silent", () => {
  test.each(WAYS)("%s: the next one begins after 250 ms and wins", async (by) => {
    const { clock, connector, options } = makeRig();
    const { server, hole, addresses, port } = await startPair(() => {});
    await using _ = server;
    using __ = hole;
    const attempt = connector[by](options({ addresses, port }));
    await eventually("the first attempt", () => clock.pending === 2 || undefined);
    await clock.advance(249);
    expect(server.sockets.length).toBe(0);
    expect(clock.pending).toBe(2);
    await clock.advance(1);
    const transport = await attempt;
    expect(transport.address).toBe("127.0.0.2");
    expect(clock.pending).toBe(0);
    transport.destroy();
  });

  test.each(WAYS)("%s: the limit bounds all attempts together", async (by) => {
    const { clock, connector, options } = makeRig();
    using hole = await startBlackHole("127.0.0.1");
    const port = hole.port;
    using _ = await startBlackHole("127.0.0.2", port);
    const attempt = rejectionOf(connector[by](options({ addresses: ["127.0.0.1", "127.0.0.2", "127.0.0.3"], port })));
    await eventually("the first attempt", () => clock.pending === 2 || undefined);
    await clock.advance(250);
    await clock.advance(250);
    await clock.advance(500);
    const error = await attempt;
    expect(error).toMatchObject({ kind: "timeout", phase: "connect" });
    expect((error as HttpError).message).toBe(
      `no connection to port ${port} within 1000 ms: 127.0.0.3 ECONNREFUSED, 127.0.0.1 silent, 127.0.0.2 silent`,
    );
    expect(clock.pending).toBe(0);
  });

  test("node's connects give their descriptors back at once", async () => {
    const { abort, connector, options } = makeRig();
    using hole = await startBlackHole("127.0.0.1");
    const before = pendingConnects(hole.port);
    const all = Array.from({ length: 20 }, () =>
      rejectionOf(connector.connectByNode(options({ addresses: [hole.address], port: hole.port }))),
    );
    await eventually("20 connects", () => pendingConnects(hole.port) === before + 20 || undefined);
    abort.abort();
    expect(pendingConnects(hole.port)).toBe(before);
    expect(await Promise.all(all)).toEqual(Array.from({ length: 20 }, () => abort.signal.reason));
    expect(connector.abandoned).toBe(0);
  });

  test("is connected by node for five minutes after a connect of Bun's was abandoned", async () => {
    const { clock, connector, options } = makeRig();
    using hole = await startBlackHole("127.0.0.1");
    const attempt = async () => {
      const idle = pendingConnects(hole.port);
      const failure = rejectionOf(connector.connect(options({ addresses: [hole.address], port: hole.port })));
      await eventually("the connect", () => pendingConnects(hole.port) === idle + 1 || undefined);
      await clock.advance(1000);
      expect(await failure).toMatchObject({ kind: "timeout" });
    };
    const before = pendingConnects(hole.port);
    await attempt();
    expect(connector.abandoned).toBe(1);
    expect(pendingConnects(hole.port)).toBe(before + 1);
    for (let i = 0; i < 5; i++) await attempt();
    expect(connector.abandoned).toBe(1);
    expect(pendingConnects(hole.port)).toBe(before + 1);
    await clock.advance(5 * 60_000);
    await attempt();
    expect(connector.abandoned).toBe(2);
  });

  test("beyond the limit of pending connects by Bun all others are by node", async () => {
    const { abort, connector, options } = makeRig(3);
    using hole = await startBlackHole("127.0.0.1");
    const before = pendingConnects(hole.port);
    const all = Array.from({ length: 10 }, () =>
      rejectionOf(connector.connect(options({ addresses: [hole.address], port: hole.port }))),
    );
    await eventually("10 connects", () => pendingConnects(hole.port) === before + 10 || undefined);
    abort.abort();
    await Promise.all(all);
    expect(connector.abandoned).toBe(3);
    expect(pendingConnects(hole.port)).toBe(before + 3);
  });

  test("more connects by Bun go to an address that has answered within the last minute", async () => {
    const { clock, connector, options } = makeRig(3, 8);
    await using server = await startServer(() => {}, "127.0.0.1");
    const transport = await connector.connect(options({ addresses: ["127.0.0.1"], port: server.port }));
    transport.destroy();
    using hole = await startBlackHole("127.0.0.1");
    const give = async () => {
      const before = pendingConnects(hole.port);
      const rig = new AbortController();
      const all = Array.from({ length: 10 }, () =>
        rejectionOf(
          connector.connect({ ...options({ addresses: [hole.address], port: hole.port }), signal: rig.signal }),
        ),
      );
      await eventually("10 connects", () => pendingConnects(hole.port) === before + 10 || undefined);
      rig.abort();
      await Promise.all(all);
    };
    await give();
    expect(connector.abandoned).toBe(8);
    await clock.advance(5 * 60_000);
    await give();
    expect(connector.abandoned).toBe(8);
    await hole.open();
    await eventually("the end of the connects", () => connector.abandoned === 0 || undefined);
  });

  test("an abandoned connect that comes to stand later is closed, and no longer counted", async () => {
    const { abort, connector, options } = makeRig();
    using hole = await startBlackHole("127.0.0.1");
    const before = pendingConnects(hole.port);
    const failure = rejectionOf(connector.connect(options({ addresses: [hole.address], port: hole.port })));
    await eventually("the connect", () => pendingConnects(hole.port) === before + 1 || undefined);
    abort.abort();
    await failure;
    expect(connector.abandoned).toBe(1);
    // The kernel asks again one second after the first SYN.
    await hole.open();
    await eventually("the end of the connect", () => connector.abandoned === 0 || undefined);
  });
});
