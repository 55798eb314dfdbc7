import { describe, expect, test } from "bun:test";
import type { Socket } from "node:net";
import type { ProxyError } from "../../src/http/proxy/proxy-error.ts";
import type { Route, Target } from "../../src/http/route.ts";
import { FakeClock } from "../support/clock.ts";
import { rejectionOf } from "../support/rejection.ts";
import { LOOPBACK, open, proxyErrorOf } from "./open-route.ts";
import { type RawServer, startServer } from "./raw-server.ts";

/** A CONNECT proxy that answers with these pieces, each in a packet of its own, and then is the tunnel. */
function startOddProxy(pieces: readonly string[]): Promise<RawServer> {
  return startServer((socket) => {
    const answer = async () => {
      for (const piece of pieces) {
        socket.write(piece);
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    socket.once("data", () => void answer());
  });
}

describe("the answer to CONNECT", () => {
  const target: Target = { addresses: ["2001:db8::1"], port: 443, tls: { serverName: "target.test", ca: undefined } };

  async function refusalOf(pieces: readonly string[]): Promise<ProxyError> {
    await using proxy = await startOddProxy(pieces);
    return await proxyErrorOf(open({ kind: "http-proxy", addresses: LOOPBACK, port: proxy.port }, target));
  }

  test.each([403, 404, 500, 502, 503, 504])("%d is about the target", async (status) => {
    const error = await refusalOf([`HTTP/1.1 ${status} No Way\r\nContent-Length: 0\r\n\r\n`]);
    expect(error).toMatchObject({ kind: "proxy", code: String(status), isAboutTarget: true, phase: "tunnel" });
    expect(error.message).toBe(`the proxy answered CONNECT with ${status} No Way`);
  });

  test("407 is about the proxy", async () => {
    const error = await refusalOf(['HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n']);
    expect(error).toMatchObject({ kind: "proxy", code: "407", isAboutTarget: false });
  });

  test("may come one byte at a time, without a phrase, behind an interim answer", async () => {
    const error = await refusalOf("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 403\r\n\r\n".split(""));
    expect(error).toMatchObject({ code: "403", isAboutTarget: true, message: "the proxy answered CONNECT with 403" });
  });

  test("with control characters does not reach the log as it is", async () => {
    const error = await refusalOf([`HTTP/1.1 500 \x1b[31m${"x".repeat(200)}\r\n\r\n`]);
    expect(error.message).toBe(`the proxy answered CONNECT with 500 ?[31m${"x".repeat(55)}`);
  });

  test("has a head of 16 KiB at most", async () => {
    const error = await refusalOf([`HTTP/1.1 200 OK\r\nX: ${"x".repeat(16 * 1024)}\r\n\r\n`]);
    expect(error).toMatchObject({ code: undefined, isAboutTarget: false });
    expect(error.message).toContain("more than 16 KiB");
  });

  test.each(["SSH-2.0-x\r\n\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 20x OK\r\n\r\n"])("%j is no answer", async (text) => {
    const error = await refusalOf([text]);
    expect(error).toMatchObject({ code: undefined, isAboutTarget: false });
    expect(error.message).toContain("is not HTTP/1.1");
  });

  test("with bytes behind it is refused before TLS", async () => {
    const error = await refusalOf(["HTTP/1.1 200 OK\r\n\r\nsurprise"]);
    expect(error.message).toContain("before the TLS handshake");
  });

  test("that never comes meets the limit of the tunnel", async () => {
    const clock = new FakeClock();
    const asked = Promise.withResolvers<string>();
    await using proxy = await startServer((socket) => socket.once("data", (chunk) => asked.resolve(String(chunk))));
    const route: Route = { kind: "http-proxy", addresses: LOOPBACK, port: proxy.port };
    const failure = rejectionOf(open(route, target, { clock }));
    expect(await asked.promise).toBe("CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n");
    await clock.advance(699);
    await clock.advance(1);
    expect(await failure).toMatchObject({ kind: "timeout", phase: "tunnel" });
    expect(clock.pending).toBe(0);
  });

  test("is not waited for after an abort", async () => {
    const abort = new AbortController();
    const clock = new FakeClock();
    await using proxy = await startServer((socket) => socket.once("data", () => abort.abort(new Error("stop"))));
    const route: Route = { kind: "http-proxy", addresses: LOOPBACK, port: proxy.port };
    const error = await rejectionOf(open(route, target, { clock, signal: abort.signal }));
    expect(error).toBe(abort.signal.reason);
    expect(clock.pending).toBe(0);
  });

  test.each([
    ["closed", (socket: Socket) => socket.end(), undefined],
    ["reset", (socket: Socket) => socket.resetAndDestroy(), "ECONNRESET"],
  ])("of a connection that is %s is about the proxy", async (_, end, code) => {
    await using proxy = await startServer((socket) => socket.once("data", () => end(socket)));
    const route: Route = { kind: "http-proxy", addresses: LOOPBACK, port: proxy.port };
    const error = await proxyErrorOf(open(route, target));
    expect({ code: error.code, isAboutTarget: error.isAboutTarget }).toEqual({ code, isAboutTarget: false });
  });
});
