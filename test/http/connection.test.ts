import { describe, expect, test } from "bun:test";
import { HttpConnection } from "../../src/http/connection.ts";
import { HttpError } from "../../src/http/http-error.ts";
import type { Transport, TransportHandler } from "../../src/http/transport/transport.ts";
import { turn } from "../support/clock.ts";
import { eventually } from "../support/eventually.ts";
import { HTTP_LIMITS } from "../support/http.ts";
import { rejectionOf } from "../support/rejection.ts";
import {
  bytesOf,
  HandedSource,
  listenersOf,
  MIB,
  openLine,
  outgoing,
  rigClock,
  sourceOf,
  textOf,
  watchLeaks,
} from "./http-rig.ts";
import { Flood, numbered, startServer, untilStill } from "./raw-server.ts";
import { OK, startOrigin } from "./scripted-origin.ts";

const expectNothingOpen = watchLeaks();
const STOP = new Error("stop");
const PUT = { method: "PUT" } as const;

const STREAMS = [
  ["Bun", "connect"],
  ["node", "connectByNode"],
] as const;

describe.each(STREAMS)("over a stream by %s", (_, by) => {
  describe("a connection that is used again", () => {
    test("carries one request after the other, and calls onFree each time", async () => {
      await using origin = await startOrigin();
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      for (const method of ["GET", "PUT", "DELETE"]) {
        const { status, body, framing, address } = await connection.exchange(outgoing({ method }));
        expect([status, await textOf(body), body.end, address]).toEqual([200, "ok", "complete", "127.0.0.1"]);
        expect(framing).toEqual({ kind: "length", bytes: 2, keepsConnection: true });
        expect(connection.isIdle).toBe(true);
      }
      expect(freed).toEqual([true, true, true]);
      expect(origin.ways).toEqual([0, 0, 0]);
      connection.destroy();
      expect(freed.length).toBe(3);
    });

    test.each([
      ["a length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"],
      ["chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\nX: y\r\n\r\n", "ok"],
      ["an empty body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""],
      ["204", "HTTP/1.1 204 No Content\r\n\r\n", ""],
      ["304 with a length that means nothing", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", ""],
      ["1.0 with keep-alive", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok", "ok"],
      ["100 and 103 before it", `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n${OK}`, "ok"],
    ])("after %s", async (_, answer, text) => {
      await using origin = await startOrigin(({ socket }) => void socket.write(answer));
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      for (let i = 0; i < 3; i++) {
        const { status, body } = await connection.exchange(outgoing());
        expect(status).toBeWithin(200, 305);
        expect(await textOf(body)).toBe(text);
      }
      expect(freed).toEqual([true, true, true]);
      connection.destroy();
    });

    test("after HEAD, whose answer has no body, whatever its fields", async () => {
      const heads = ["Content-Length: 1000000", "Transfer-Encoding: chunked", "X: y"];
      await using origin = await startOrigin(({ socket, index }) => {
        socket.write(`HTTP/1.1 200 OK\r\n${heads[index]}\r\n\r\n`);
      });
      const { connection } = await openLine(origin.port, rigClock(), by);
      for (const field of heads) {
        const { headers, body } = await connection.exchange(outgoing({ method: "HEAD" }));
        expect(headers.get(field.split(":")[0]?.toLowerCase() ?? "")).toBe(field.split(": ")[1]);
        expect([body.isRead, body.end, await body.read()]).toEqual([true, "complete", undefined]);
      }
      expect(origin.ways).toEqual([0, 0, 0]);
      connection.destroy();
    });

    test("whatever the pieces are in which the answers come", async () => {
      await using origin = await startOrigin(({ socket }) => {
        const answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        let at = 0;
        const next = () => {
          if (at < answer.length) socket.write(answer.slice(at, ++at), () => setImmediate(next));
        };
        next();
      });
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      for (let i = 0; i < 2; i++) expect(await textOf((await connection.exchange(outgoing())).body)).toBe("ok");
      expect(freed).toEqual([true, true]);
      connection.destroy();
    });

    test("with an unread body, if it is small", async () => {
      await using origin = await startOrigin();
      const { connection } = await openLine(origin.port, rigClock(), by);
      const first = await connection.exchange(outgoing());
      await eventually("the end of the body", () => connection.isIdle || undefined);
      const second = await connection.exchange(outgoing());
      expect(await textOf(second.body)).toBe("ok");
      // What nobody read is still there.
      expect(await textOf(first.body)).toBe("ok");
      connection.destroy();
    });
  });

  describe("a connection that is not used again", () => {
    test.each([
      ["Connection: close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"],
      ["close among others", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok"],
      ["1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"],
      ["bytes behind the answer", `${OK}x`],
      ["a second answer", `${OK}${OK}`],
      [
        "a length beside chunks",
        "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
      ],
    ])("after %s", async (_, answer) => {
      await using origin = await startOrigin(({ socket }) => void socket.write(answer));
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      const { body } = await connection.exchange(outgoing());
      expect(await textOf(body)).toBe("ok");
      expect(body.end).toBe("complete");
      expect([connection.isIdle, freed]).toEqual([false, [false]]);
      await eventually("its close", () => origin.sockets[0]?.destroyed || undefined);
    });

    test("after a body that the close ends", async () => {
      await using origin = await startOrigin(({ socket }) => void socket.end("HTTP/1.1 200 OK\r\n\r\nok"));
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      const { body, framing } = await connection.exchange(outgoing());
      expect(framing.kind).toBe("until-close");
      expect(await textOf(body)).toBe("ok");
      expect([body.end, freed]).toEqual(["closed", [false]]);
    });

    test("after an answer that came while the request's body was still going out", async () => {
      await using origin = await startServer((socket) => void socket.once("data", () => socket.write(OK)));
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      const source = new HandedSource();
      const answer = connection.exchange(outgoing({ ...PUT, length: 4, body: source }));
      await source.give(Buffer.from("ab"));
      const { body } = await answer;
      expect(await textOf(body)).toBe("ok");
      expect([connection.isIdle, freed]).toEqual([false, [false]]);
      await eventually("its close", () => origin.sockets[0]?.readableEnded || undefined);
      await source.give(Buffer.from("cd"));
      expect(source.asked).toBe(2);
    });

    test("after a stray byte while it is idle", async () => {
      await using origin = await startOrigin();
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      await textOf((await connection.exchange(outgoing())).body);
      origin.sockets[0]?.write("x");
      await eventually("its close", () => origin.sockets[0]?.destroyed || undefined);
      expect([connection.isIdle, freed]).toEqual([false, [true, false]]);
    });

    test.each(["end", "resetAndDestroy"] as const)("after the server's %s while it is idle", async (how) => {
      await using origin = await startOrigin();
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      await textOf((await connection.exchange(outgoing())).body);
      origin.sockets[0]?.[how]();
      await eventually("its end", () => freed.length === 2 || undefined);
      expect([connection.isIdle, freed]).toEqual([false, [true, false]]);
    });
  });

  describe("an answer that does not come", () => {
    test.each([
      ["FIN", "closed", "", "end"],
      ["FIN within the head", "closed", "HTTP/1.1 200", "end"],
      ["FIN after 100", "closed", "HTTP/1.1 100 Continue\r\n\r\n", "end"],
      ["a reset", "reset", "", "resetAndDestroy"],
    ] as const)("because of %s, is an error %s", async (_, kind, text, how) => {
      await using origin = await startServer((socket) => {
        socket.once("data", () => (text === "" ? socket[how]() : socket.write(text, () => socket[how]())));
      });
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      const error = await rejectionOf(connection.exchange(outgoing()));
      expect(error).toBeInstanceOf(HttpError);
      expect(error).toMatchObject({ kind });
      if (kind === "reset") expect(error).toMatchObject({ code: "ECONNRESET" });
      expect([connection.hasAnswered, freed]).toEqual([text !== "", [false]]);
    });

    test.each([
      ["garbage", "SSH-2.0-x\r\n", "protocol"],
      ["HTTP/2", "HTTP/2 200 OK\r\n\r\n", "protocol"],
      ["101", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "protocol"],
      ["a head without end", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(70_000)}`, "head-too-large"],
    ])("but %s, closes the connection at once", async (_, text, kind) => {
      await using origin = await startOrigin(({ socket }) => void socket.write(text));
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      expect(await rejectionOf(connection.exchange(outgoing()))).toMatchObject({ kind });
      expect(freed).toEqual([false]);
      await eventually("its close", () => origin.sockets[0]?.destroyed || undefined);
    });

    test("within the limit is a timeout, at the millisecond", async () => {
      const clock = rigClock();
      await using origin = await startOrigin(() => {});
      const { connection, freed } = await openLine(origin.port, clock, by);
      const failure = rejectionOf(connection.exchange(outgoing({ headTimeoutMs: 500 })));
      await eventually("the request", () => origin.requests[0]);
      await clock.advance(499);
      expect([freed, clock.pending]).toEqual([[], 1]);
      await clock.advance(1);
      expect(await failure).toMatchObject({ kind: "timeout", phase: "head" });
      expect([freed, clock.pending, connection.hasAnswered]).toEqual([[false], 0, false]);
      await eventually("its close", () => origin.sockets[0]?.destroyed || undefined);
    });

    test("within the limit is a timeout although interim answers and parts of a head come", async () => {
      const clock = rigClock();
      await using origin = await startOrigin(() => {});
      const { connection } = await openLine(origin.port, clock, by);
      const failure = rejectionOf(connection.exchange(outgoing({ headTimeoutMs: 500 })));
      const { socket } = await eventually("the request", () => origin.requests[0]);
      for (const text of ["HTTP/1.1 102 Processing\r\n\r\n", "HTTP/1.1 200 OK\r\n", "X: y\r\n"]) {
        socket.write(text);
        await eventually("the text", () => connection.hasAnswered || undefined);
        await clock.advance(150);
      }
      await clock.advance(50);
      expect(await failure).toMatchObject({ kind: "timeout", phase: "head" });
    });

    test("has no limit once the head is there", async () => {
      const clock = rigClock();
      await using origin = await startOrigin(({ socket }) => void socket.write(OK.slice(0, -1)));
      const { connection } = await openLine(origin.port, clock, by);
      const { body } = await connection.exchange(outgoing({ headTimeoutMs: 500 }));
      expect(clock.pending).toBe(0);
      await clock.advance(10_000);
      origin.requests[0]?.socket.write("k");
      expect(await textOf(body)).toBe("ok");
      connection.destroy();
    });
  });

  describe("a limit to the time without progress", () => {
    const LIMIT = { idleTimeoutMs: 300 };

    test("is a timeout at the millisecond, before the head and within the body", async () => {
      for (const text of ["", OK.slice(0, -1)]) {
        const clock = rigClock();
        await using origin = await startOrigin(({ socket }) => void (text === "" || socket.write(text)));
        const { connection, freed } = await openLine(origin.port, clock, by);
        const answer = connection.exchange(outgoing(LIMIT));
        const failure = text === "" ? rejectionOf(answer) : rejectionOf(answer.then(({ body }) => bytesOf(body)));
        await eventually("the request", () => origin.requests[0]);
        if (text !== "") await eventually("the answer", () => connection.hasAnswered || undefined);
        await clock.advance(299);
        expect(freed).toEqual([]);
        await clock.advance(1);
        expect(await failure).toMatchObject({ kind: "timeout" });
        expect([freed, clock.pending]).toEqual([[false], 0]);
      }
    });

    test("starts anew with each byte that arrives, until the answer is complete", async () => {
      const clock = rigClock();
      await using origin = await startOrigin(() => {});
      const { connection } = await openLine(origin.port, clock, by);
      const answer = connection.exchange(outgoing(LIMIT));
      const { socket } = await eventually("the request", () => origin.requests[0]);
      for (const character of "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n") {
        await clock.advance(250);
        socket.write(character);
        await arrival(socket);
      }
      const { body } = await answer;
      for (const character of "ok") {
        await clock.advance(299);
        socket.write(character);
        expect(Buffer.from((await body.read()) ?? []).toString()).toBe(character);
      }
      expect(await body.read()).toBeUndefined();
      expect(clock.pending).toBe(0);
      connection.destroy();
    });

    test("starts anew with each part of a large body that the peer takes", async () => {
      const clock = rigClock();
      let received = 0;
      await using origin = await startServer((socket) => {
        socket.pause();
        socket.on("data", (chunk: Buffer) => {
          received += chunk.length;
          socket.pause();
          if (received > 24 * MIB) socket.write(OK);
        });
      });
      const { connection, freed } = await openLine(origin.port, clock, by);
      const answer = connection.exchange(outgoing({ ...PUT, ...LIMIT, length: 24 * MIB, body: numbered(24 * MIB) }));
      const socket = await eventually("the connection", () => origin.sockets[0]);
      // Each time the kernel takes some more: far longer than the limit, all in all.
      let steps = 0;
      while (!connection.hasAnswered) {
        const before = received;
        socket.resume();
        await eventually("some bytes", () => received > before || connection.hasAnswered || undefined);
        await turn();
        if (++steps % 2 === 0) await clock.advance(20);
        expect(freed).not.toContain(false);
      }
      expect(clock.monotonic()).toBeGreaterThan(300);
      expect((await answer).status).toBe(200);
      await textOf((await answer).body);
      connection.destroy();
    });

    test("starts anew with each piece that the kernel takes at once", async () => {
      const clock = rigClock();
      await using origin = await startOrigin();
      const { connection, freed } = await openLine(origin.port, clock, by);
      const source = new HandedSource();
      const answer = connection.exchange(outgoing({ ...PUT, ...LIMIT, length: 4, body: source }));
      answer.catch(() => {});
      try {
        for (const piece of "abcd") {
          await clock.advance(200);
          expect(freed).toEqual([]);
          await source.give(Buffer.from(piece));
        }
        await source.give(undefined);
        expect((await answer).status).toBe(200);
      } finally {
        connection.destroy();
      }
    });

    test("does not blame the head for a body that stands still", async () => {
      const clock = rigClock();
      await using origin = await startOrigin(({ socket }) => void socket.write(OK.slice(0, -1)));
      const { connection } = await openLine(origin.port, clock, by);
      const { body } = await connection.exchange(outgoing(LIMIT));
      const failure = rejectionOf(bytesOf(body));
      await turn();
      await clock.advance(300);
      expect(await failure).toMatchObject({ kind: "timeout", phase: undefined });
    });

    test("beside a limit for the head leaves the body alone once the head is there", async () => {
      const clock = rigClock();
      await using origin = await startOrigin(({ socket }) => void socket.write(OK.slice(0, -2)));
      const { connection, freed } = await openLine(origin.port, clock, by);
      const { body } = await connection.exchange(outgoing({ headTimeoutMs: 500, idleTimeoutMs: 400 }));
      try {
        await clock.advance(300);
        origin.requests[0]?.socket.write("o");
        await body.read();
        await clock.advance(300);
        expect(freed).toEqual([]);
      } finally {
        connection.destroy();
      }
    });
  });

  describe("a signal that aborts", () => {
    test("before the request closes the connection, and nothing is sent", async () => {
      await using origin = await startOrigin();
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      const signal = AbortSignal.abort(STOP);
      expect(await rejectionOf(connection.exchange(outgoing({ signal })))).toBe(STOP);
      await eventually(
        "its close",
        () => origin.sockets[0]?.destroyed || origin.sockets[0]?.readableEnded || undefined,
      );
      expect([origin.requests.length, connection.isIdle, freed, listenersOf(signal)]).toEqual([0, false, [], 0]);
    });

    test("before the head rejects at once with its reason", async () => {
      const clock = rigClock();
      await using origin = await startOrigin(() => {});
      const { connection, freed } = await openLine(origin.port, clock, by);
      const abort = new AbortController();
      const failure = rejectionOf(connection.exchange(outgoing({ signal: abort.signal, headTimeoutMs: 100 })));
      await eventually("the request", () => origin.requests[0]);
      expect(listenersOf(abort.signal)).toBe(1);
      abort.abort(STOP);
      expect(await failure).toBe(STOP);
      expect([freed, listenersOf(abort.signal), clock.pending]).toEqual([[false], 0, 0]);
      await eventually("its close", () => origin.sockets[0]?.destroyed || undefined);
    });

    test("within the body drops the unread chunks", async () => {
      await using origin = await startOrigin(({ socket }) => void socket.write(OK.slice(0, -1)));
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      const abort = new AbortController();
      const { body } = await connection.exchange(outgoing({ signal: abort.signal }));
      abort.abort(STOP);
      expect(body.readReady()).toBeUndefined();
      expect(await rejectionOf(body.read())).toBe(STOP);
      expect(await rejectionOf(body.read())).toBe(STOP);
      expect([freed, body.end, body.isRead, listenersOf(abort.signal)]).toEqual([[false], undefined, false, 0]);
      await eventually("its close", () => origin.sockets[0]?.destroyed || undefined);
    });

    test("within a read rejects it, and each later one", async () => {
      await using origin = await startOrigin(({ socket }) => void socket.write(OK.slice(0, -2)));
      const { connection } = await openLine(origin.port, rigClock(), by);
      const abort = new AbortController();
      const { body } = await connection.exchange(outgoing({ signal: abort.signal }));
      const failure = rejectionOf(body.read());
      abort.abort(STOP);
      expect(await failure).toBe(STOP);
      expect(await rejectionOf(body.read())).toBe(STOP);
    });

    test("while the request's body goes out rejects, and closes", async () => {
      await using origin = await startServer((socket) => socket.pause());
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      const abort = new AbortController();
      const body = numbered(24 * MIB);
      const failure = rejectionOf(
        connection.exchange(outgoing({ ...PUT, length: body.length, body, signal: abort.signal })),
      );
      await untilStill(() => origin.sockets.length);
      abort.abort(STOP);
      expect(await failure).toBe(STOP);
      expect(freed).toEqual([false]);
      origin.sockets[0]?.resume();
      await eventually(
        "its close",
        () => origin.sockets[0]?.destroyed || origin.sockets[0]?.readableEnded || undefined,
      );
    });

    test("after the answer is complete has no effect", async () => {
      await using origin = await startOrigin();
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      const abort = new AbortController();
      const { body } = await connection.exchange(outgoing({ signal: abort.signal }));
      await eventually("the end of the body", () => connection.isIdle || undefined);
      expect(listenersOf(abort.signal)).toBe(0);
      abort.abort(STOP);
      expect(await textOf(body)).toBe("ok");
      expect(freed).toEqual([true]);
      expect((await connection.exchange(outgoing())).status).toBe(200);
      connection.destroy();
    });

    test("has no listener left after 1,000 requests", async () => {
      await using origin = await startOrigin();
      const { connection } = await openLine(origin.port, rigClock(), by);
      const { signal } = new AbortController();
      for (let i = 0; i < 1000; i++) await textOf((await connection.exchange(outgoing({ signal }))).body);
      expect(listenersOf(signal)).toBe(0);
      connection.destroy();
    });
  });

  describe("a request with a body", () => {
    test.each([0, 1, 64 * 1024, 64 * 1024 + 1, 256 * 1024, 256 * 1024 + 1, 5 * MIB])(
      "of %d bytes arrives",
      async (size) => {
        await using origin = await startOrigin();
        const { connection, freed } = await openLine(origin.port, rigClock(), by);
        const body = numbered(size);
        for (let i = 0; i < 2; i++) {
          const answer = await connection.exchange(outgoing({ ...PUT, length: size, body }));
          expect(await textOf(answer.body)).toBe("ok");
        }
        expect(origin.requests.map((request) => request.body.equals(body))).toEqual([true, true]);
        expect(freed).toEqual([true, true]);
        connection.destroy();
      },
    );

    test("of pieces arrives, and the connection can be used again", async () => {
      await using origin = await startOrigin();
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      const bytes = numbered(3 * MIB);
      const pieces = [bytes.subarray(0, 1), bytes.subarray(1, MIB), bytes.subarray(MIB, MIB), bytes.subarray(MIB)];
      for (let i = 0; i < 2; i++) {
        const body = sourceOf(pieces);
        await textOf((await connection.exchange(outgoing({ ...PUT, length: bytes.length, body }))).body);
      }
      expect(origin.requests.map((request) => request.body.equals(bytes))).toEqual([true, true]);
      expect(freed).toEqual([true, true]);
      connection.destroy();
    });

    test("that the peer does not take is not asked of its source", async () => {
      await using origin = await startServer((socket) => void socket.pause());
      const { connection } = await openLine(origin.port, rigClock(), by);
      let asked = 0;
      const piece = numbered(MIB);
      const body = { next: () => (asked++, Promise.resolve(asked <= 64 ? piece : undefined)) };
      const answer = connection.exchange(outgoing({ ...PUT, length: 64 * MIB, body }));
      const socket = await eventually("the connection", () => origin.sockets[0]);
      await untilStill(() => asked);
      expect(asked).toBeLessThan(32);
      let received = 0;
      socket.on("data", (chunk: Buffer) => {
        received += chunk.length;
        if (received > 64 * MIB) socket.write(OK);
      });
      socket.resume();
      expect(await textOf((await answer).body)).toBe("ok");
      expect(asked).toBe(65);
      connection.destroy();
    });

    test("goes out while the answer comes in already, as an echo", async () => {
      const total = 24 * MIB;
      await using origin = await startServer((socket) => {
        socket.once("data", (first: Buffer) => {
          const headEnd = first.indexOf("\r\n\r\n") + 4;
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
          socket.write(first.subarray(headEnd));
          socket.pipe(socket, { end: false });
        });
      });
      const { connection } = await openLine(origin.port, rigClock(), by);
      const bytes = numbered(total);
      const { body } = await connection.exchange(outgoing({ ...PUT, length: total, body: bytes }));
      expect((await bytesOf(body)).equals(bytes)).toBe(true);
      connection.destroy();
    });

    test("whose source throws rejects with that error, and the connection is gone", async () => {
      await using origin = await startOrigin();
      for (const isAtOnce of [true, false]) {
        const { connection, freed } = await openLine(origin.port, rigClock(), by);
        const source = new HandedSource();
        const answer = connection.exchange(outgoing({ ...PUT, length: 4, body: source }));
        const failure = rejectionOf(answer);
        if (!isAtOnce) await source.give(Buffer.from("ab"));
        await source.fail(STOP);
        expect(await failure).toBe(STOP);
        expect(freed).toEqual([false]);
        await eventually("its close", () => origin.sockets.at(-1)?.destroyed || undefined);
      }
      expect(origin.requests).toEqual([]);
    });

    test("whose source throws at the call, without a promise, rejects with that error", async () => {
      await using origin = await startOrigin();
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      const next = () => {
        throw STOP;
      };
      expect(await rejectionOf(connection.exchange(outgoing({ ...PUT, length: 4, body: { next } })))).toBe(STOP);
      expect(freed).toEqual([false]);
    });

    test.each(["end", "destroySoon"] as const)("that the server refuses early with 413 and %s", async (how) => {
      const answer = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
      await using origin = await startServer((socket) => {
        socket.once("data", () => {
          socket.pause();
          socket.write(answer);
          socket[how]();
        });
      });
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      const body = numbered(24 * MIB);
      const response = await connection.exchange(outgoing({ ...PUT, length: body.length, body }));
      expect([response.status, response.isEarly, await textOf(response.body)]).toEqual([413, true, "no"]);
      expect(freed).toEqual([false]);
    });

    test("that the server takes to its end has an answer that is not early, 50 times", async () => {
      await using origin = await startServer((socket) => {
        let missing: number | undefined;
        socket.on("data", (data) => {
          missing ??= 4 * MIB + data.indexOf("\r\n\r\n") + 4;
          missing -= data.length;
          if (missing <= 0) socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        });
      });
      const body = numbered(4 * MIB);
      for (let i = 0; i < 50; i++) {
        const { connection } = await openLine(origin.port, rigClock(), by);
        const response = await connection.exchange(outgoing({ ...PUT, length: body.length, body }));
        expect([response.status, response.isEarly, await textOf(response.body)]).toEqual([200, false, "ok"]);
      }
    });

    test("that the server refuses with an answer until the close gets all of it", async () => {
      await using origin = await startServer((socket) => {
        socket.once("data", () => {
          socket.pause();
          socket.end("HTTP/1.1 503 Busy\r\n\r\nnot now");
        });
      });
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      const body = numbered(24 * MIB);
      const response = await connection.exchange(outgoing({ ...PUT, length: body.length, body }));
      expect([response.status, await textOf(response.body), response.body.end]).toEqual([503, "not now", "closed"]);
      expect(freed).toEqual([false]);
    });

    test("that the server refuses with 413 and a reset behind it gets the answer, 50 times", async () => {
      const answer = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
      await using origin = await startServer((socket) => {
        socket.once("data", () => {
          socket.pause();
          // Bytes that nobody has read make a reset of the close.
          socket.write(answer, () => socket.destroy());
        });
      });
      const body = numbered(4 * MIB);
      for (let i = 0; i < 50; i++) {
        const { connection } = await openLine(origin.port, rigClock(), by);
        const response = await connection.exchange(outgoing({ ...PUT, length: body.length, body }));
        expect([response.status, await textOf(response.body)]).toEqual([413, "no"]);
      }
    });

    test("whose source throws after an early answer leaves the answer alone", async () => {
      await using origin = await startServer((socket) => {
        socket.once("data", () => socket.write("HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nno"));
      });
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      const source = new HandedSource();
      const { body } = await connection.exchange(outgoing({ ...PUT, length: 4, body: source }));
      await source.fail(STOP);
      expect(freed).toEqual([]);
      origin.sockets[0]?.write("pe");
      expect(await textOf(body)).toBe("nope");
      expect(freed).toEqual([false]);
    });

    test("does not ask its source again once the connection is over", async () => {
      await using origin = await startServer((socket) => void socket.pause());
      const { connection } = await openLine(origin.port, rigClock(), by);
      let asked = 0;
      const piece = numbered(16 * MIB);
      const body = { next: () => (asked++, Promise.resolve(piece)) };
      const abort = new AbortController();
      const failure = rejectionOf(
        connection.exchange(outgoing({ ...PUT, length: 64 * MIB, body, signal: abort.signal })),
      );
      await untilStill(() => asked);
      const before = asked;
      abort.abort(STOP);
      expect(await failure).toBe(STOP);
      await turn();
      expect(asked).toBe(before);
    });

    test("in one piece that the peer did not take is not sent, so that the connection is not free", async () => {
      await using origin = await startServer((socket) => void socket.pause());
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      const body = numbered(64 * 1024);
      try {
        for (let i = 0; i < 2000 && freed.every(Boolean); i++) {
          const answer = connection.exchange(outgoing({ ...PUT, length: body.length, body }));
          const socket = await eventually("the connection", () => origin.sockets[0]);
          socket.write(OK);
          await textOf((await answer).body);
        }
        expect(freed.at(-1)).toBe(false);
      } finally {
        connection.destroy();
      }
    });
  });

  describe("backpressure", () => {
    test("a reader that does not read holds the origin back, and gets everything once it reads", async () => {
      const total = 64 * MIB;
      const flood = new Flood(total);
      await using origin = await startOrigin(({ socket }) => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
        flood.into(socket);
      });
      const { connection } = await openLine(origin.port, rigClock(), by);
      const { body } = await connection.exchange(outgoing());
      await untilStill(() => flood.sent);
      expect(flood.sent).toBeLessThan(32 * MIB);
      let length = 0;
      for (let chunk = await body.read(); chunk !== undefined; chunk = await body.read()) length += chunk.length;
      expect([length, body.end]).toEqual([total, "complete"]);
    });

    test("a connection whose body is discarded while the origin is held back closes, and leaves no descriptor", async () => {
      const flood = new Flood(64 * MIB);
      await using origin = await startOrigin(({ socket }) => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${64 * MIB}\r\n\r\n`);
        flood.into(socket);
      });
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      const { body } = await connection.exchange(outgoing());
      await untilStill(() => flood.sent);
      body.discard();
      expect(freed).toEqual([false]);
      expect(await rejectionOf(body.read())).toMatchObject({ kind: "closed" });
      await eventually("its close", () => origin.sockets[0]?.destroyed || undefined);
    });

    test.each([
      ["a length", `Content-Length: ${4 * MIB}\r\n`, "complete"],
      ["the close", "", "closed"],
    ] as const)(
      "a reader that comes late gets all 4 MiB of a server that has closed long ago: %s",
      async (_, field, end) => {
        await using origin = await startOrigin(({ socket }) => {
          socket.write(`HTTP/1.1 200 OK\r\n${field}\r\n`);
          socket.end(numbered(4 * MIB));
        });
        const { connection, freed } = await openLine(origin.port, rigClock(), by);
        const { body } = await connection.exchange(outgoing());
        await untilStill(() => origin.sockets[0]?.bytesWritten);
        const bytes = await bytesOf(body);
        expect([bytes.equals(numbered(4 * MIB)), body.end]).toEqual([true, end]);
        await eventually("its end", () => freed.at(-1) === false || undefined);
      },
    );

    test("waiting chunks are read before the error, if the origin resets while it is held back", async () => {
      await using origin = await startOrigin(({ socket }) => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${64 * MIB}\r\n\r\n`);
        new Flood(64 * MIB).into(socket);
      });
      const { connection, freed } = await openLine(origin.port, rigClock(), by);
      const { body } = await connection.exchange(outgoing());
      await untilStill(() => origin.sockets[0]?.bytesWritten);
      origin.sockets[0]?.resetAndDestroy();
      await turn();
      let length = 0;
      const failure = await rejectionOf(
        (async () => {
          for (let chunk = await body.read(); chunk !== undefined; chunk = await body.read()) length += chunk.length;
        })(),
      );
      expect(failure).toMatchObject({ kind: "reset" });
      expect(length).toBeGreaterThan(256 * 1024);
      expect(freed).toEqual([false]);
    });
  });
});

test("a limit to the time without progress starts anew with a part of a piece that the peer takes", async () => {
  const clock = rigClock();
  const transport = new SlowTransport();
  const freed: boolean[] = [];
  const onFree = () => void freed.push(false);
  const connection = new HttpConnection(transport, { clock, limits: HTTP_LIMITS, onFree });
  const failure = rejectionOf(connection.exchange(outgoing({ ...PUT, idleTimeoutMs: 300, body: numbered(MIB) })));
  for (let i = 0; i < 4; i++) {
    await turn();
    await clock.advance(200);
    expect(freed).toEqual([]);
    transport.handler.drained();
  }
  await clock.advance(299);
  expect(freed).toEqual([]);
  await clock.advance(1);
  expect(await failure).toMatchObject({ kind: "timeout" });
  expect(freed).toEqual([false]);
});

/** Never takes a piece at once: no socket can be made to behave so every time. */
class SlowTransport implements Transport {
  readonly address = "127.0.0.1";
  handler!: TransportHandler;

  write(): boolean {
    return false;
  }

  pause(): void {}
  resume(): void {}
  destroy(): void {}
  setKeepsAlive(): void {}
}

/** Resolves when what was written has gone to the other side, which is this process: it had a turn to read it. */
async function arrival(socket: { write(text: string, done: () => void): unknown }): Promise<void> {
  await new Promise<void>((resolve) => socket.write("", resolve));
  await turns(5);
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await turn();
}

expectNothingOpen();
