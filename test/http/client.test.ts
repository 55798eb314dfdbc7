import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect, type Socket } from "node:net";
import type { HttpClient, HttpRequest } from "../../src/http/http-client.ts";
import type { Route } from "../../src/http/route.ts";
import { type FakeClock, turn } from "../support/clock.ts";
import { eventually } from "../support/eventually.ts";
import { startForwardProxy } from "../support/forward-proxy.ts";
import { testClient } from "../support/http.ts";
import { rejectionOf } from "../support/rejection.ts";
import { canBeSilent, pendingConnects, startBlackHole } from "./black-hole.ts";
import {
  fetchText,
  HandedSource,
  LIMITS,
  listenersOf,
  openSockets,
  requestTo,
  rigClock,
  sourceOf,
  textOf,
  watchLeaks,
} from "./http-rig.ts";
import { Authority, hasOpenssl } from "./odd-certificates.ts";
import { LOOPBACK } from "./open-route.ts";
import { numbered, refusingPort, startServer } from "./raw-server.ts";
import { OK, type ReceivedRequest, startOrigin } from "./scripted-origin.ts";
import { startSocks } from "./socks-server.ts";

// A connect that waits for a full backlog is repeated by the kernel after 1, 3 and 7 s.
setDefaultTimeout(60_000);

const expectNothingOpen = watchLeaks();
const STOP = new Error("stop");
const authority = hasOpenssl ? new Authority("Test Authority") : undefined;
const certificate = authority?.sign({ names: "DNS:a.test, DNS:b.test, IP:127.0.0.1" });

interface Rig extends Disposable {
  readonly clock: FakeClock;
  readonly client: HttpClient;
}

/** A client whose kept connections are closed with the test. */
function startRig(): Rig {
  const clock = rigClock();
  const client = testClient(clock);
  return { clock, client, [Symbol.dispose]: () => client.close() };
}

function isGone(socket: Socket | undefined): true | undefined {
  return socket?.destroyed || socket?.readableEnded || undefined;
}

/** Answers as servers do, but does this to each request that is not the first of its connection. */
function afterTheFirst(act: (request: ReceivedRequest) => void): (request: ReceivedRequest) => void {
  const known = new Set<number>();
  return (request) => {
    if (known.has(request.connection)) return act(request);
    known.add(request.connection);
    request.socket.write(OK);
  };
}

describe("a client", () => {
  test("sends the path, Host and fields as they were given", async () => {
    using rig = startRig();
    await using origin = await startOrigin();
    const more = { path: "//a?b?", host: "h.test:1", fields: { "X-A": "é", Accept: "*/*" } };
    expect(await fetchText(rig.client, requestTo(origin.port, more))).toBe("200 ok");
    expect(origin.requests[0]?.head).toBe("GET //a?b? HTTP/1.1\r\nHost: h.test:1\r\nX-A: é\r\nAccept: */*\r\n\r\n");
  });

  test("keeps the connection for the next request, and passes the address to each", async () => {
    using rig = startRig();
    await using origin = await startOrigin();
    const told: string[] = [];
    const onConnection = (address: string) => void told.push(address);
    for (let i = 0; i < 5; i++) await fetchText(rig.client, requestTo(origin.port, { onConnection }));
    expect(origin.ways).toEqual([0, 0, 0, 0, 0]);
    expect(told).toEqual(["127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1"]);
  });

  test("opens a connection for each request at a time, then takes the one that was used last", async () => {
    using rig = startRig();
    const waiting: Socket[] = [];
    await using origin = await startOrigin(({ socket, index }) => {
      if (index < 3) waiting.push(socket);
      else socket.write(OK);
    });
    let answered = 0;
    const answers = [1, 2, 3].map(async () => {
      const text = await fetchText(rig.client, requestTo(origin.port));
      answered++;
      return text;
    });
    await eventually("three requests", () => waiting[2]);
    const ways = [...origin.ways];
    for (const [before, at] of [2, 0, 1].entries()) {
      waiting[at]?.write(OK);
      await eventually("the answer", () => answered > before || undefined);
    }
    expect(await Promise.all(answers)).toEqual(["200 ok", "200 ok", "200 ok"]);
    await fetchText(rig.client, requestTo(origin.port));
    expect(origin.ways[3]).toBe(ways[1] ?? -1);
    expect(origin.sockets.length).toBe(3);
  });

  test("takes any of the addresses that a kept connection leads to", async () => {
    using rig = startRig();
    await using origin = await startOrigin();
    await fetchText(rig.client, requestTo(origin.port));
    const target = { addresses: ["127.0.0.2", "127.0.0.1"], port: origin.port };
    const told: string[] = [];
    await fetchText(rig.client, requestTo(origin.port, { target, onConnection: (address) => told.push(address) }));
    expect([origin.ways, told]).toEqual([[0, 0], ["127.0.0.1"]]);
  });

  test("keeps a connection by the address that answered", async () => {
    using rig = startRig();
    await using origin = await startOrigin();
    const target = { addresses: ["127.0.0.2", "127.0.0.1"], port: origin.port };
    await fetchText(rig.client, requestTo(origin.port, { target }));
    await fetchText(rig.client, requestTo(origin.port));
    expect(origin.ways).toEqual([0, 0]);
  });

  test("closes kept connections, not those in use", async () => {
    using rig = startRig();
    await using origin = await startOrigin(({ socket, index }) => void (index === 1 || socket.write(OK)));
    await fetchText(rig.client, requestTo(origin.port));
    const pending = fetchText(rig.client, requestTo(origin.port));
    await eventually("the request", () => origin.requests[1]);
    rig.client.close();
    origin.sockets[0]?.write(OK);
    expect(await pending).toBe("200 ok");
    rig.client.close();
    await eventually("its close", () => isGone(origin.sockets[0]));
  });

  test("keeps no connection any more after its close", async () => {
    using rig = startRig();
    await using origin = await startOrigin(() => {});
    const pending = fetchText(rig.client, requestTo(origin.port));
    const { socket } = await eventually("the request", () => origin.requests[0]);
    rig.client.close();
    socket.write(OK);
    expect(await pending).toBe("200 ok");
    await turn();
    await eventually("its close", () => isGone(socket), 500);
  });

  test("rejects with the error of the connect", async () => {
    using rig = startRig();
    const failure = await rejectionOf(rig.client.send(requestTo(await refusingPort())));
    expect(failure).toMatchObject({ kind: "connect", code: "ECONNREFUSED" });
  });

  test("closes the connection of a discarded body, and opens a new one for the next request", async () => {
    using rig = startRig();
    await using origin = await startOrigin(({ socket, index }) => {
      socket.write(index === 0 ? "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc" : OK);
    });
    const { body } = await rig.client.send(requestTo(origin.port));
    body.discard();
    expect(await fetchText(rig.client, requestTo(origin.port))).toBe("200 ok");
    expect(origin.ways).toEqual([0, 1]);
    await eventually("its close", () => isGone(origin.sockets[0]));
  });

  test("keeps the connection of a discarded body that is complete", async () => {
    using rig = startRig();
    await using origin = await startOrigin();
    const { body } = await rig.client.send(requestTo(origin.port));
    await eventually("the body", () => body.end);
    body.discard();
    await fetchText(rig.client, requestTo(origin.port));
    expect(origin.ways).toEqual([0, 0]);
  });
});

describe("a request that cannot be sent", () => {
  const bad: Readonly<Record<string, Partial<HttpRequest>>> = {
    value: { fields: { "X-A": "a\r\nX-B: b" } },
    name: { fields: { "X A": "a" } },
    host: { host: "a\r\nX-B: b" },
    path: { path: "/ HTTP/1.1\r\nX-B: b" },
  };

  test.each(Object.entries(bad))("for its %s is refused, and no byte is sent", async (_, more) => {
    using rig = startRig();
    await using origin = await startOrigin();
    const error = await rejectionOf(rig.client.send(requestTo(origin.port, more)));
    expect(error).toMatchObject({ message: expect.stringContaining("cannot be sent") });
    expect(origin.requests).toEqual([]);
  });

  test("leaves no connection open", async () => {
    using rig = startRig();
    await using origin = await startOrigin();
    await fetchText(rig.client, requestTo(origin.port));
    // The first takes the kept connection, the second opens one.
    for (let i = 0; i < 2; i++) await rejectionOf(rig.client.send(requestTo(origin.port, bad["value"])));
    rig.client.close();
    await eventually("the closes", () => origin.sockets.every(isGone) || undefined, 500);
  });

  test("leaves no connection open if it is its listener that throws", async () => {
    using rig = startRig();
    await using origin = await startOrigin();
    const onConnection = () => {
      throw STOP;
    };
    expect(await rejectionOf(rig.client.send(requestTo(origin.port, { onConnection })))).toBe(STOP);
    rig.client.close();
    const socket = await eventually("the connection", () => origin.sockets[0]);
    await eventually("its close", () => isGone(socket), 500);
  });
});

describe("a signal that aborts", () => {
  test("before the request rejects it, and nothing is connected", async () => {
    using rig = startRig();
    await using origin = await startOrigin();
    expect(await rejectionOf(rig.client.send(requestTo(origin.port, { signal: AbortSignal.abort(STOP) })))).toBe(STOP);
    await turn();
    expect(origin.sockets.length).toBe(0);
  });

  test("before the request leaves the kept connections alone", async () => {
    using rig = startRig();
    await using origin = await startOrigin();
    await fetchText(rig.client, requestTo(origin.port));
    await rejectionOf(rig.client.send(requestTo(origin.port, { signal: AbortSignal.abort(STOP) })));
    await fetchText(rig.client, requestTo(origin.port));
    expect(origin.ways).toEqual([0, 0]);
  });

  test.skipIf(!canBeSilent)("while it connects rejects at once", async () => {
    using hole = await startBlackHole("127.0.0.1");
    using rig = startRig();
    const before = pendingConnects(hole.port);
    const abort = new AbortController();
    const failure = rejectionOf(rig.client.send(requestTo(hole.port, { signal: abort.signal })));
    await eventually("the connect", () => pendingConnects(hole.port) === before + 1 || undefined);
    abort.abort(STOP);
    expect(await failure).toBe(STOP);
    expect([listenersOf(abort.signal), rig.clock.pending]).toEqual([0, 0]);
    await hole.open();
    await eventually("the end of the connect", () => rig.client.abandonedConnects === 0 || undefined);
  });

  test("before the head and within the body rejects, also on a kept connection, and is not sent again", async () => {
    for (const text of ["", OK.slice(0, -1)]) {
      using rig = startRig();
      await using origin = await startOrigin(afterTheFirst(({ socket }) => void (text === "" || socket.write(text))));
      await fetchText(rig.client, requestTo(origin.port));
      const abort = new AbortController();
      const failure = rejectionOf(fetchText(rig.client, requestTo(origin.port, { signal: abort.signal })));
      await eventually("the request", () => origin.requests[1]);
      abort.abort(STOP);
      expect(await failure).toBe(STOP);
      expect([origin.requests.length, listenersOf(abort.signal)]).toEqual([2, 0]);
      await eventually("its close", () => isGone(origin.sockets[0]));
    }
  });

  test("with an error of HTTP as its reason is no reason to send again", async () => {
    const reasons = [new Error("a"), await rejectionOf(testClient().send(requestTo(await refusingPort())))];
    for (const reason of reasons) {
      using rig = startRig();
      await using origin = await startOrigin(afterTheFirst(() => {}));
      await fetchText(rig.client, requestTo(origin.port));
      const abort = new AbortController();
      const failure = rejectionOf(rig.client.send(requestTo(origin.port, { signal: abort.signal })));
      await eventually("the request", () => origin.requests[1]);
      abort.abort(reason);
      expect(await failure).toBe(reason);
      expect(origin.requests.length).toBe(2);
    }
  });

  test("has no listener left after 1,000 requests, new connections among them", async () => {
    using rig = startRig();
    await using origin = await startOrigin(({ socket, index }) => {
      socket.write(index % 10 === 0 ? OK.replace("OK\r\n", "OK\r\nConnection: close\r\n") : OK);
    });
    const { signal } = new AbortController();
    for (let i = 0; i < 1000; i++) await fetchText(rig.client, requestTo(origin.port, { signal }));
    expect([listenersOf(signal), origin.sockets.length, rig.clock.pending]).toEqual([0, 101, 0]);
  });
});

describe("a request that dies on a kept connection before a byte of its answer", () => {
  const ends = ["end", "resetAndDestroy"] as const;
  const twice = ["GET", "HEAD", "PUT", "DELETE"].flatMap((method) => ends.map((how) => [method, how] as const));

  test.each(twice)("goes out once more on a new one: %s, %s", async (method, how) => {
    using rig = startRig();
    await using origin = await startOrigin(({ socket, requestLine, connection }) => {
      if (connection === 0 && !requestLine.startsWith("GET /first")) return void socket[how]();
      socket.write(requestLine.startsWith("HEAD") ? "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" : OK);
    });
    await fetchText(rig.client, requestTo(origin.port, { path: "/first" }));
    const told: string[] = [];
    const body = method === "PUT" ? numbered(300_000) : undefined;
    const fields = method === "PUT" ? { "Content-Length": "300000" } : {};
    const onConnection = (address: string) => void told.push(address);
    const request = requestTo(origin.port, { method, fields, onConnection, ...(body && { body }) });
    expect(await fetchText(rig.client, request)).toBe(method === "HEAD" ? "200 " : "200 ok");
    expect(origin.ways).toEqual([0, 0, 1]);
    expect(told.length).toBe(2);
    if (body !== undefined) expect(origin.requests[2]?.body.equals(body)).toBe(true);
  });

  test.each(ends)("goes out once more where the %s was on its way already", async (how) => {
    using rig = startRig();
    await using origin = await startOrigin();
    await fetchText(rig.client, requestTo(origin.port));
    origin.sockets[0]?.[how]();
    expect(await fetchText(rig.client, requestTo(origin.port))).toBe("200 ok");
    expect(origin.requests.at(-1)?.connection).toBe(1);
  });

  test("goes out once more through a SOCKS proxy, by a new tunnel", async () => {
    using rig = startRig();
    await using origin = await startOrigin(afterTheFirst(({ socket }) => void socket.end()));
    await using socks = await startSocks();
    const route: Route = { kind: "socks5", addresses: LOOPBACK, port: socks.port };
    for (let i = 0; i < 2; i++) expect(await fetchText(rig.client, requestTo(origin.port, { route }))).toBe("200 ok");
    expect([origin.ways, socks.asked.length]).toEqual([[0, 0, 1], 2]);
  });

  test("goes out once more, not twice", async () => {
    using rig = startRig();
    await using origin = await startOrigin(({ socket, index }) => void (index === 0 ? socket.write(OK) : socket.end()));
    await fetchText(rig.client, requestTo(origin.port));
    expect(await rejectionOf(rig.client.send(requestTo(origin.port)))).toMatchObject({ kind: "closed" });
    expect(origin.ways).toEqual([0, 0, 1]);
  });

  test("takes the kept ones to the same place with it, and no others", async () => {
    using rig = startRig();
    const waiting: Socket[] = [];
    await using other = await startOrigin();
    await using origin = await startOrigin(({ socket, index }) => {
      if (index < 3) waiting.push(socket);
      else if (index === 3) socket.end();
      else socket.write(OK);
    });
    await fetchText(rig.client, requestTo(other.port));
    const answers = [1, 2, 3].map(() => fetchText(rig.client, requestTo(origin.port)));
    await eventually("three requests", () => waiting[2]);
    for (const socket of waiting) socket.write(OK);
    await Promise.all(answers);
    await fetchText(rig.client, requestTo(origin.port));
    expect(origin.ways[4]).toBe(3);
    await eventually("their closes", () => origin.sockets.slice(0, 3).every(isGone) || undefined);
    await fetchText(rig.client, requestTo(other.port));
    expect(other.ways).toEqual([0, 0]);
  });

  test.each(ends)("is an error for POST: %s", async (how) => {
    using rig = startRig();
    await using origin = await startOrigin(afterTheFirst(({ socket }) => void socket[how]()));
    await fetchText(rig.client, requestTo(origin.port));
    const error = await rejectionOf(rig.client.send(requestTo(origin.port, { method: "POST" })));
    expect(error).toMatchObject({ kind: how === "end" ? "closed" : "reset" });
    expect(origin.ways).toEqual([0, 0]);
  });

  test.each([
    ["FIN", "H", "end", "closed"],
    ["FIN after an interim answer", "HTTP/1.1 100 Continue\r\n\r\n", "end", "closed"],
    ["a reset", "H", "resetAndDestroy", "reset"],
    ["FIN within the body", OK.slice(0, -1), "end", "truncated"],
  ] as const)("is an error after one byte: %s", async (_, text, how, kind) => {
    using rig = startRig();
    await using origin = await startOrigin(
      afterTheFirst(({ socket }) => {
        socket.write(text, () => setImmediate(() => socket[how]()));
      }),
    );
    await fetchText(rig.client, requestTo(origin.port));
    expect(await rejectionOf(fetchText(rig.client, requestTo(origin.port)))).toMatchObject({ kind });
    expect(origin.ways).toEqual([0, 0]);
  });

  test("cannot happen to a body that is read from a source: it has a new connection", async () => {
    using rig = startRig();
    await using origin = await startOrigin(afterTheFirst(({ socket }) => void socket.end()));
    await fetchText(rig.client, requestTo(origin.port));
    const body = sourceOf([Buffer.from("ab"), Buffer.from("cd")]);
    const fields = { "Content-Length": "4" };
    expect(await fetchText(rig.client, requestTo(origin.port, { method: "PUT", body, fields }))).toBe("200 ok");
    expect(origin.ways).toEqual([0, 1]);
  });

  test("is a timeout where it stays silent; the kept ones go, and the next request has a new one", async () => {
    using rig = startRig();
    const waiting: Socket[] = [];
    await using origin = await startOrigin(({ socket, index, connection }) => {
      if (index < 3) waiting.push(socket);
      else if (connection > 2) socket.write(OK);
    });
    const answers = [1, 2, 3].map(() => fetchText(rig.client, requestTo(origin.port)));
    await eventually("three requests", () => waiting[2]);
    for (const socket of waiting) socket.write(OK);
    await Promise.all(answers);
    const limits = { ...LIMITS, headTimeoutMs: 500 };
    const failure = rejectionOf(rig.client.send(requestTo(origin.port, { limits })));
    await eventually("the request", () => origin.requests[3]);
    await rig.clock.advance(500);
    expect(await failure).toMatchObject({ kind: "timeout", phase: "head" });
    await eventually("their closes", () => origin.sockets.every(isGone) || undefined);
    expect(origin.requests.length).toBe(4);
    expect(await fetchText(rig.client, requestTo(origin.port, { limits }))).toBe("200 ok");
    expect(origin.requests[4]?.connection).toBe(3);
    expect(rig.clock.pending).toBe(0);
  });

  test("leaves the kept ones alone if it was a new connection that was silent", async () => {
    using rig = startRig();
    const waiting: Socket[] = [];
    await using origin = await startOrigin(({ socket, index }) => {
      if (index === 0 || index === 1) waiting.push(socket);
      else socket.write(OK);
    });
    const first = fetchText(rig.client, requestTo(origin.port));
    await eventually("the first", () => waiting[0]);
    const limits = { ...LIMITS, headTimeoutMs: 500 };
    const second = rejectionOf(fetchText(rig.client, requestTo(origin.port, { limits })));
    await eventually("the second", () => waiting[1]);
    waiting[0]?.write(OK);
    await first;
    await rig.clock.advance(500);
    expect(await second).toMatchObject({ kind: "timeout" });
    await fetchText(rig.client, requestTo(origin.port));
    expect(origin.ways.filter((way) => way === origin.ways[0]).length).toBe(2);
  });

  test("is an error of the body if its source throws, and is not sent again", async () => {
    using rig = startRig();
    await using origin = await startOrigin();
    const source = new HandedSource();
    const fields = { "Content-Length": "4" };
    const failure = rejectionOf(rig.client.send(requestTo(origin.port, { method: "PUT", body: source, fields })));
    await source.give(Buffer.from("ab"));
    await source.fail(STOP);
    expect(await failure).toBe(STOP);
    expect(origin.sockets.length).toBe(1);
    await eventually("its close", () => isGone(origin.sockets[0]));
  });
});

describe("a kept connection", () => {
  test.each([
    ["no hint", undefined, 4000],
    ["timeout=0", "timeout=0", 0],
    ["timeout=1", "timeout=1", 0],
    ["timeout=2", "timeout=2", 1000],
    ["timeout=5", "timeout=5", 4000],
    ["timeout=5, max=100", "timeout=5, max=100", 4000],
    ["max=100,timeout=20", "max=100,timeout=20", 19_000],
    ["TIMEOUT=20", "TIMEOUT=20", 19_000],
    ["timeout=61", "timeout=61", 60_000],
    ["timeout=1000000", "timeout=1000000", 60_000],
    ["timeout=99999999999999999999", "timeout=99999999999999999999", 60_000],
    ["timeout=-5", "timeout=-5", 4000],
    ["timeout=x", "timeout=x", 4000],
    ["xtimeout=20", "xtimeout=20", 4000],
    ["garbage", ";;==\xff", 4000],
    ["nothing", "", 4000],
  ])("is used for so long: %s", async (_, hint, ms) => {
    using rig = startRig();
    const field = hint === undefined ? "" : `Keep-Alive: ${hint}\r\n`;
    await using origin = await startOrigin(({ socket }) => {
      socket.write(Buffer.from(`HTTP/1.1 200 OK\r\n${field}Content-Length: 2\r\n\r\nok`, "latin1"));
    });
    await fetchText(rig.client, requestTo(origin.port));
    if (ms > 0) {
      rig.clock.tick(ms - 1);
      await fetchText(rig.client, requestTo(origin.port));
      expect(origin.ways).toEqual([0, 0]);
    }
    rig.clock.tick(ms);
    await fetchText(rig.client, requestTo(origin.port));
    expect(origin.requests.at(-1)?.connection).toBe(1);
    await eventually("its close", () => isGone(origin.sockets[0]));
  });

  test("takes the hint of its last answer", async () => {
    using rig = startRig();
    await using origin = await startOrigin(({ socket, index }) => {
      socket.write(index === 0 ? OK.replace("OK\r\n", "OK\r\nKeep-Alive: timeout=60\r\n") : OK);
    });
    for (const ms of [0, 30_000, 4000]) {
      rig.clock.tick(ms);
      await fetchText(rig.client, requestTo(origin.port));
    }
    expect(origin.ways).toEqual([0, 0, 1]);
  });

  test("is closed by dropExpired once its time is over", async () => {
    using rig = startRig();
    await using origin = await startOrigin();
    await fetchText(rig.client, requestTo(origin.port));
    rig.clock.tick(3999);
    rig.client.dropExpired();
    await turn();
    expect(isGone(origin.sockets[0])).toBeUndefined();
    rig.clock.tick(1000);
    rig.client.dropExpired();
    await eventually("its close", () => isGone(origin.sockets[0]));
  });

  test.each(["end", "resetAndDestroy"] as const)("is forgotten after the server's %s", async (how) => {
    using rig = startRig();
    const before = openSockets();
    await using origin = await startOrigin();
    await fetchText(rig.client, requestTo(origin.port));
    origin.sockets[0]?.[how]();
    await eventually("both ends", () => openSockets() <= before + 1 || undefined);
    const told: string[] = [];
    await fetchText(rig.client, requestTo(origin.port, { onConnection: (address) => told.push(address) }));
    expect([origin.ways, told.length]).toEqual([[0, 1], 1]);
  });

  test("is closed by a stray byte", async () => {
    using rig = startRig();
    await using origin = await startOrigin();
    await fetchText(rig.client, requestTo(origin.port));
    origin.sockets[0]?.write("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n");
    await eventually("its close", () => isGone(origin.sockets[0]));
    expect(await fetchText(rig.client, requestTo(origin.port))).toBe("200 ok");
    expect(origin.ways).toEqual([0, 1]);
  });

  test("is one of 256 to a place at most", async () => {
    using rig = startRig();
    const waiting: Socket[] = [];
    await using origin = await startOrigin(({ socket }) => void waiting.push(socket));
    const answers = Array.from({ length: 260 }, () => fetchText(rig.client, requestTo(origin.port)));
    await eventually("all requests", () => waiting[259]);
    for (const socket of waiting) socket.write(OK);
    await Promise.all(answers);
    await eventually("four closes", () => origin.sockets.filter((each) => isGone(each)).length === 4 || undefined);
  });
});

describe("a connection is not shared", () => {
  /** Sends the requests twice; gives the number of connections that it took. */
  async function countWays(client: HttpClient, requests: readonly HttpRequest[]): Promise<number[]> {
    const counts: number[] = [];
    for (const request of [...requests, ...requests]) {
      let told = 0;
      const response = await client.send({ ...request, onConnection: () => void told++ });
      await textOf(response.body);
      counts.push(told);
    }
    return counts;
  }

  test("between ports and addresses", async () => {
    using rig = startRig();
    await using one = await startOrigin();
    await using two = await startOrigin();
    await using six = await startOrigin(undefined, { address: "::1" });
    await countWays(rig.client, [
      requestTo(one.port),
      requestTo(two.port),
      requestTo(six.port, { target: { addresses: ["::1"], port: six.port } }),
    ]);
    expect([one.ways, two.ways, six.ways]).toEqual([
      [0, 0],
      [0, 0],
      [0, 0],
    ]);
  });

  test.skipIf(!hasOpenssl)("between http and https, server names, and an address without a name", async () => {
    using rig = startRig();
    const ca = authority && [authority.pem];
    const connections: number[] = [];
    await using origin = await startOrigin(
      ({ socket, connection }) => {
        connections.push(connection);
        socket.write(OK);
      },
      { certificate: certificate ?? { cert: "", key: "" } },
    );
    const targets = ["a.test", "b.test", undefined].map((serverName) => ({
      addresses: LOOPBACK,
      port: origin.port,
      tls: { serverName, ca },
    }));
    await countWays(
      rig.client,
      targets.map((target) => requestTo(origin.port, { target })),
    );
    expect(connections).toEqual([0, 1, 2, 0, 1, 2]);
    const plain = rejectionOf(rig.client.send(requestTo(origin.port)));
    await plain;
    expect(origin.sockets.length).toBe(4);
  });

  (hasOpenssl ? test : test.skip)("between those who trust different authorities", async () => {
    using rig = startRig();
    await using origin = await startOrigin(undefined, { certificate: certificate ?? { cert: "", key: "" } });
    const ca = authority && [authority.pem];
    const target = { addresses: LOOPBACK, port: origin.port, tls: { serverName: "a.test", ca } };
    expect(await fetchText(rig.client, requestTo(origin.port, { target }))).toBe("200 ok");
    const trustless = { ...target, tls: { serverName: "a.test", ca: undefined } };
    const error = await rejectionOf(fetchText(rig.client, requestTo(origin.port, { target: trustless })));
    expect(error).toMatchObject({ kind: "tls" });
  });

  test("between proxies, proxy users and none, tunnels and plain requests", async () => {
    using rig = startRig();
    const connections: string[] = [];
    const record = (name: string) => (request: ReceivedRequest) => {
      connections.push(`${name}${request.connection}`);
      request.socket.write(OK);
    };
    await using one = await startOrigin(record("one"));
    await using two = await startOrigin(record("two"));
    const routes: Route[] = [
      { kind: "direct" },
      { kind: "http-proxy", addresses: LOOPBACK, port: one.port },
      { kind: "http-proxy", addresses: LOOPBACK, port: two.port },
      { kind: "http-proxy", addresses: LOOPBACK, port: one.port, authorization: "Basic YTpi" },
      { kind: "http-proxy", addresses: LOOPBACK, port: one.port, authorization: "Basic YTpj" },
    ];
    await countWays(
      rig.client,
      routes.map((route) => requestTo(one.port, { route })),
    );
    const half = ["one0", "one1", "two0", "one2", "one3"];
    expect(connections).toEqual([...half, ...half]);
  });

  test("between SOCKS users, hosts behind SOCKS, and a proxy of another kind at the same port", async () => {
    using rig = startRig();
    const connections: number[] = [];
    await using origin = await startOrigin(({ socket, connection }) => {
      connections.push(connection);
      socket.write(OK);
    });
    await using other = await startOrigin();
    await using socks = await startSocks();
    const through = (port: number, username?: string) =>
      requestTo(port, {
        route: {
          kind: "socks5",
          addresses: LOOPBACK,
          port: socks.port,
          ...(username !== undefined && { credentials: { username, password: "x" } }),
        },
      });
    await countWays(rig.client, [through(origin.port), through(origin.port, "a"), through(origin.port, "b")]);
    expect(connections).toEqual([0, 1, 2, 0, 1, 2]);
    await countWays(rig.client, [through(other.port), requestTo(origin.port)]);
    expect([other.ways, connections.slice(6)]).toEqual([
      [0, 0],
      [3, 3],
    ]);
    const asHttp: Route = { kind: "http-proxy", addresses: LOOPBACK, port: socks.port };
    const limits = { ...LIMITS, headTimeoutMs: 100 };
    const failure = rejectionOf(rig.client.send(requestTo(origin.port, { route: asHttp, limits })));
    await turn();
    await eventually("an end", async () => {
      await rig.clock.advance(50);
      return Promise.race([failure.then(() => true as const), turn().then(() => undefined)]);
    });
    expect(connections.length).toBe(8);
  });

  test("between SOCKS users of one name with different passwords", async () => {
    using rig = startRig();
    await using origin = await startOrigin();
    await using socks = await startSocks({ credentials: "user:right" });
    const through = (password: string) =>
      requestTo(origin.port, {
        route: { kind: "socks5", addresses: LOOPBACK, port: socks.port, credentials: { username: "user", password } },
      });
    expect(await fetchText(rig.client, through("right"))).toBe("200 ok");
    expect(await rejectionOf(fetchText(rig.client, through("wrong")))).toMatchObject({ kind: "proxy" });
  });

  test.skipIf(!hasOpenssl)("between hosts in tunnels through an HTTP proxy", async () => {
    using rig = startRig();
    const connections: number[] = [];
    await using origin = await startOrigin(
      ({ socket, connection }) => {
        connections.push(connection);
        socket.write(OK);
      },
      { certificate: certificate ?? { cert: "", key: "" } },
    );
    await using proxy = await startForwardProxy();
    const route: Route = { kind: "http-proxy", addresses: LOOPBACK, port: Number(new URL(proxy.url).port) };
    const ca = authority && [authority.pem];
    await countWays(
      rig.client,
      ["a.test", "b.test"].map((serverName) =>
        requestTo(origin.port, { route, target: { addresses: LOOPBACK, port: origin.port, tls: { serverName, ca } } }),
      ),
    );
    expect(connections).toEqual([0, 1, 0, 1]);
    expect(proxy.asked.length).toBe(2);
  });
});

describe("a plain request through an HTTP proxy", () => {
  test.each([
    ["192.0.2.1", "http://192.0.2.1:80/a?"],
    ["2001:db8::1", "http://[2001:db8::1]:80/a?"],
  ])("names the address %s in the absolute form", async (address, form) => {
    using rig = startRig();
    await using proxy = await startOrigin();
    const request = requestTo(proxy.port, {
      target: { addresses: [address, "192.0.2.9"], port: 80 },
      route: { kind: "http-proxy", addresses: LOOPBACK, port: proxy.port, authorization: "Basic YTpi" },
      path: "/a?",
      fields: { "X-A": "a" },
    });
    expect(await fetchText(rig.client, request)).toBe("200 ok");
    expect(proxy.requests[0]?.head).toBe(
      `GET ${form} HTTP/1.1\r\nHost: host.test\r\nX-A: a\r\nProxy-Authorization: Basic YTpi\r\n\r\n`,
    );
  });

  test("sends no credentials if there are none", async () => {
    using rig = startRig();
    await using proxy = await startOrigin();
    const route: Route = { kind: "http-proxy", addresses: LOOPBACK, port: proxy.port };
    await fetchText(rig.client, requestTo(80, { route, target: { addresses: ["192.0.2.1"], port: 80 } }));
    expect(proxy.requests[0]?.head).not.toContain("Proxy-");
  });

  test("shares the connection with requests to other hosts and ports", async () => {
    using rig = startRig();
    await using proxy = await startOrigin();
    const route: Route = { kind: "http-proxy", addresses: LOOPBACK, port: proxy.port };
    for (const [address, port] of [
      ["192.0.2.1", 80],
      ["192.0.2.2", 80],
      ["2001:db8::1", 8080],
    ] as const) {
      await fetchText(rig.client, requestTo(port, { route, target: { addresses: [address], port } }));
    }
    expect(proxy.ways).toEqual([0, 0, 0]);
    expect(proxy.requests.map(({ requestLine }) => requestLine)).toEqual([
      "GET http://192.0.2.1:80/ HTTP/1.1",
      "GET http://192.0.2.2:80/ HTTP/1.1",
      "GET http://[2001:db8::1]:8080/ HTTP/1.1",
    ]);
  });

  test.skipIf(!hasOpenssl)("does not send the proxy's credentials to the host through a tunnel", async () => {
    using rig = startRig();
    await using origin = await startOrigin(undefined, { certificate: certificate ?? { cert: "", key: "" } });
    await using proxy = await startForwardProxy({ credentials: "a:b" });
    const port = Number(new URL(proxy.url).port);
    const route: Route = { kind: "http-proxy", addresses: LOOPBACK, port, authorization: `Basic ${btoa("a:b")}` };
    const tls = { serverName: "a.test", ca: authority && [authority.pem] };
    const target = { addresses: LOOPBACK, port: origin.port, tls };
    expect(await fetchText(rig.client, requestTo(origin.port, { route, target }))).toBe("200 ok");
    expect(origin.requests[0]?.head).toBe("GET / HTTP/1.1\r\nHost: host.test\r\n\r\n");
    expect(proxy.authorizations).toEqual([`Basic ${btoa("a:b")}`]);
  });
});

describe.skipIf(!hasOpenssl)("a kept connection over TLS", () => {
  const tls = { serverName: "a.test", ca: authority && [authority.pem] };

  test.each(["end", "destroy"] as const)("that dies by %s before a byte is made up for by a new one", async (how) => {
    using rig = startRig();
    await using origin = await startOrigin(
      afterTheFirst(({ socket }) => void socket[how]()),
      { certificate: certificate ?? { cert: "", key: "" } },
    );
    const target = { addresses: LOOPBACK, port: origin.port, tls };
    for (let i = 0; i < 2; i++) expect(await fetchText(rig.client, requestTo(origin.port, { target }))).toBe("200 ok");
    expect(origin.ways).toEqual([0, 0, 1]);
  });

  test("carries a large upload and a large answer", async () => {
    using rig = startRig();
    const bytes = numbered(6_000_000);
    await using origin = await startOrigin(
      ({ socket }) => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`);
        socket.write(bytes);
      },
      { certificate: certificate ?? { cert: "", key: "" } },
    );
    const target = { addresses: LOOPBACK, port: origin.port, tls };
    const fields = { "Content-Length": String(bytes.length) };
    for (let i = 0; i < 2; i++) {
      const request = requestTo(origin.port, { target, method: "PUT", fields, body: bytes });
      const text = await fetchText(rig.client, request);
      expect(text === `200 ${bytes.toString("latin1")}`).toBe(true);
    }
    expect(origin.requests.map(({ body }) => body.equals(bytes))).toEqual([true, true]);
    expect(origin.ways).toEqual([0, 0]);
  });
});

test("a path that is cut without a word costs one request its time, and no more", async () => {
  using rig = startRig();
  await using origin = await startOrigin();
  const cut = new Set<Socket>();
  await using middle = await startServer((socket) => {
    const onwards = connect(origin.port, "127.0.0.1");
    socket.on("data", (chunk: Buffer) => void (cut.has(socket) || onwards.write(chunk)));
    onwards.on("data", (chunk: Buffer) => void socket.write(chunk));
    onwards.on("error", () => socket.destroy());
    socket.on("close", () => onwards.destroy());
    socket.on("end", () => socket.end());
  });
  const limits = { ...LIMITS, headTimeoutMs: 500 };
  await Promise.all([1, 2, 3, 4].map(() => fetchText(rig.client, requestTo(middle.port, { limits }))));
  for (const socket of middle.sockets) cut.add(socket);
  const failure = rejectionOf(rig.client.send(requestTo(middle.port, { limits })));
  await turn();
  await rig.clock.advance(500);
  expect(await failure).toMatchObject({ kind: "timeout" });
  expect(await fetchText(rig.client, requestTo(middle.port, { limits }))).toBe("200 ok");
});

expectNothingOpen();
