import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { connect as connectSocket, type Socket } from "node:net";
import { HttpError } from "../../src/http/http-error.ts";
import { ProxyError } from "../../src/http/proxy/proxy-error.ts";
import type { Route } from "../../src/http/route.ts";
import { FakeClock } from "../support/clock.ts";
import { eventually } from "../support/eventually.ts";
import { startForwardProxy } from "../support/forward-proxy.ts";
import { rejectionOf } from "../support/rejection.ts";
import { Authority, hasOpenssl } from "./odd-certificates.ts";
import { LOOPBACK, open, proxyErrorOf } from "./open-route.ts";
import {
  answering,
  Flood,
  numbered,
  type RawServer,
  refusingPort,
  startServer,
  startTlsServer,
  untilStill,
} from "./raw-server.ts";
import { Recorder } from "./recorder.ts";

const MIB = 2 ** 20;

function portOf(url: string): number {
  return Number(new URL(url).port);
}

const certificates = hasOpenssl ? new Authority("Test Authority") : undefined;
const forTarget = certificates?.sign({ names: "DNS:target.test" });
const forProxy = certificates?.sign({ names: "DNS:proxy.test" });
const forAddress = certificates?.sign({ names: "IP:127.0.0.1" });
const targetTls = { serverName: "target.test", ca: certificates && [certificates.pem] };
const proxyTls = { serverName: "proxy.test", ca: certificates && [certificates.pem] };

test("a direct route connects to the target, with or without TLS", async () => {
  await using server = await startServer((socket) => socket.end("hello"));
  const got = new Recorder(await open({ kind: "direct" }, { addresses: LOOPBACK, port: server.port }));
  await got.ended;
  expect(got.text).toBe("hello");
});

test("a plain target behind an HTTP proxy gives the stream to the proxy, without CONNECT", async () => {
  await using proxy = await startServer(answering("from the proxy"));
  const route: Route = { kind: "http-proxy", addresses: LOOPBACK, port: proxy.port, authorization: "Basic x" };
  const transport = await open(route, { addresses: ["192.0.2.1"], port: 80 });
  const got = new Recorder(transport);
  transport.write(new TextEncoder().encode("GET http://target.test/ HTTP/1.1\r\n\r\n"));
  await got.ended;
  expect(got.text).toBe("from the proxy");
});

describe.skipIf(!hasOpenssl)("a tunnel by CONNECT", () => {
  async function startTarget() {
    return startTlsServer(forTarget ?? { cert: "", key: "" }, (socket) => {
      socket.once("data", () => socket.end(numbered(4 * MIB)));
    });
  }

  async function expectTarget(route: Route, port: number): Promise<void> {
    const transport = await open(route, { addresses: LOOPBACK, port, tls: targetTls });
    const got = new Recorder(transport);
    transport.write(new TextEncoder().encode("hi"));
    transport.pause();
    transport.resume();
    expect(await got.ended).toBeUndefined();
    expect(got.bytes.equals(numbered(4 * MIB))).toBe(true);
  }

  test("carries TLS to the target, and names the vetted address", async () => {
    await using target = await startTarget();
    await using proxy = await startForwardProxy();
    await expectTarget({ kind: "http-proxy", addresses: LOOPBACK, port: portOf(proxy.url) }, target.port);
    expect(proxy.asked).toEqual([`CONNECT 127.0.0.1:${target.port}`]);
  });

  test("gives the proxy its credentials", async () => {
    await using target = await startTarget();
    await using proxy = await startForwardProxy({ credentials: "user:secret" });
    const authorization = `Basic ${btoa("user:secret")}`;
    const route: Route = { kind: "http-proxy", addresses: LOOPBACK, port: portOf(proxy.url), authorization };
    await expectTarget(route, target.port);
    expect(proxy.authorizations).toEqual([authorization]);
  });

  test("refuses credentials that could end their field", async () => {
    await using proxy = await startForwardProxy();
    const authorization = "Basic x\r\nX: y";
    const route: Route = { kind: "http-proxy", addresses: LOOPBACK, port: portOf(proxy.url), authorization };
    const attempt = open(route, { addresses: LOOPBACK, port: 1, tls: targetTls });
    expect(await rejectionOf(attempt)).toBeInstanceOf(TypeError);
    expect(proxy.asked).toEqual([]);
  });

  test("carries TLS within the TLS of the proxy", async () => {
    await using target = await startTarget();
    await using proxy = await startTlsProxy();
    await expectTarget({ kind: "http-proxy", addresses: LOOPBACK, port: proxy.port, tls: proxyTls }, target.port);
  });

  test("verifies the target's certificate by its address where the URL has one", async () => {
    await using right = await startTlsServer(forAddress ?? { cert: "", key: "" }, (socket) => socket.end("hello"));
    await using wrong = await startTarget();
    await using plain = await startForwardProxy();
    await using encrypted = await startTlsProxy();
    const tls = { serverName: undefined, ca: targetTls.ca };
    for (const route of [
      { kind: "http-proxy", addresses: LOOPBACK, port: portOf(plain.url) },
      { kind: "http-proxy", addresses: LOOPBACK, port: encrypted.port, tls: proxyTls },
    ] as const) {
      const got = new Recorder(await open(route, { addresses: LOOPBACK, port: right.port, tls }));
      await got.ended;
      expect(got.text).toBe("hello");
      const error = await rejectionOf(open(route, { addresses: LOOPBACK, port: wrong.port, tls }));
      expect(error).toMatchObject({ kind: "tls", code: "ERR_TLS_CERT_ALTNAME_INVALID" });
      expect(error).not.toBeInstanceOf(ProxyError);
    }
  });

  test("an error of the target's TLS is not the proxy's", async () => {
    await using target = await startServer(answering("HTTP/1.1 400 Bad Request\r\n\r\n"));
    await using proxy = await startForwardProxy();
    const route: Route = { kind: "http-proxy", addresses: LOOPBACK, port: portOf(proxy.url) };
    const error = await rejectionOf(open(route, { addresses: LOOPBACK, port: target.port, tls: targetTls }));
    expect(error).toMatchObject({ kind: "protocol", code: "ERR_SSL_WRONG_VERSION_NUMBER", phase: "tls" });
  });

  test("an error of the proxy's TLS is the proxy's", async () => {
    await using proxy = await startTlsProxy();
    const tls = { ...proxyTls, serverName: "other.test" };
    for (const targetOrPlain of [targetTls, undefined]) {
      const route: Route = { kind: "http-proxy", addresses: LOOPBACK, port: proxy.port, tls };
      const error = await proxyErrorOf(open(route, { addresses: LOOPBACK, port: 443, tls: targetOrPlain }));
      expect(error).toMatchObject({ code: "ERR_TLS_CERT_ALTNAME_INVALID", isAboutTarget: false });
      expect(error.message).toContain("no connection to the proxy: the certificate is not for other.test");
      expect(error.cause).toMatchObject({ kind: "tls" });
    }
  });

  test("a handshake in the tunnel that the target does not answer meets its limit", async () => {
    const clock = new FakeClock();
    const hello = Promise.withResolvers<void>();
    await using target = await startServer((socket) => socket.once("data", () => hello.resolve()));
    await using proxy = await startForwardProxy();
    const route: Route = { kind: "http-proxy", addresses: LOOPBACK, port: portOf(proxy.url) };
    const failure = rejectionOf(open(route, { addresses: LOOPBACK, port: target.port, tls: targetTls }, { clock }));
    await hello.promise;
    await clock.advance(500);
    expect(await failure).toMatchObject({ kind: "timeout", phase: "tls" });
    expect(clock.pending).toBe(0);
    await eventually("the close", () => target.sockets[0]?.destroyed || target.sockets[0]?.readableEnded || undefined);
  });

  test.each([
    ["a plain", false],
    ["an encrypted", true],
  ])("leaves no descriptor behind %s proxy", async (_, isEncrypted) => {
    await using target = await startServer(() => {});
    await using proxy = isEncrypted ? await startTlsProxy() : await startPlainProxy();
    const tls = isEncrypted ? proxyTls : undefined;
    const route: Route = { kind: "http-proxy", addresses: LOOPBACK, port: proxy.port, tls };
    const before = readdirSync("/proc/self/fd").length;
    const abort = new AbortController();
    const clock = new FakeClock();
    const options = { clock, signal: abort.signal };
    const failure = rejectionOf(open(route, { addresses: LOOPBACK, port: target.port, tls: targetTls }, options));
    const socket = await target.nextSocket();
    await new Promise((resolve) => socket.once("data", resolve));
    abort.abort(new Error("stop"));
    expect(await failure).toBe(abort.signal.reason);
    await eventually("free descriptors", () => {
      for (const each of [...target.sockets, ...proxy.sockets]) if (each.readableEnded) each.destroy();
      return readdirSync("/proc/self/fd").length <= before || undefined;
    });
    expect(clock.pending).toBe(0);
  });

  test("holds the target back while it is paused, within the TLS of the proxy too", async () => {
    const flood = new Flood(64 * MIB);
    const certificate = forTarget ?? { cert: "", key: "" };
    await using target = await startTlsServer(certificate, (socket) => flood.into(socket));
    await using proxy = await startTlsProxy();
    const route: Route = { kind: "http-proxy", addresses: LOOPBACK, port: proxy.port, tls: proxyTls };
    const transport = await open(route, { addresses: LOOPBACK, port: target.port, tls: targetTls });
    const got = new Recorder(transport);
    got.onData = () => transport.pause();
    await got.hasData;
    const { length } = got;
    await untilStill(() => flood.sent);
    expect(flood.sent).toBeLessThan(64 * MIB);
    expect(got.length).toBe(length);
    got.onData = () => {};
    transport.resume();
    expect(await got.ended).toBeUndefined();
    expect(got.length).toBe(64 * MIB);
  });

  test("lets the process end if it does not keep it alive, within the TLS of the proxy too", async () => {
    const certificate = certificates?.sign({ names: "DNS:x.test" }) ?? { cert: "", key: "" };
    await using target = await startTlsServer(certificate, (socket) => socket.write("hello"));
    await using proxy = await startTlsServer(certificate, tunnelTo);
    const child = Bun.spawn([process.execPath, `${import.meta.dir}/idle-client.ts`], {
      env: { ...process.env, PORT: String(target.port), PROXY_PORT: String(proxy.port), CA: certificates?.file },
      stdout: "pipe",
      stderr: "inherit",
    });
    expect(await child.exited).toBe(0);
    expect(await child.stdout.text()).toBe("idle\n");
  });

  function startTlsProxy(): Promise<RawServer> {
    return startTlsServer(forProxy ?? { cert: "", key: "" }, tunnelTo);
  }

  function startPlainProxy(): Promise<RawServer> {
    return startServer(tunnelTo);
  }
});

/** Opens whatever CONNECT asks for. */
function tunnelTo(socket: Socket): void {
  socket.once("data", (chunk: Buffer) => {
    const port = Number(/:(\d+) /.exec(chunk.toString())?.[1]);
    const onwards = connectSocket(port, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      socket.pipe(onwards).pipe(socket);
    });
    for (const side of [socket, onwards]) side.on("error", () => [socket, onwards].forEach((each) => each.destroy()));
    socket.on("close", () => onwards.destroy());
  });
}

test("a proxy that cannot be reached is a ProxyError with the connect's error as its cause", async () => {
  const port = await refusingPort();
  for (const route of [
    { kind: "http-proxy", addresses: LOOPBACK, port },
    { kind: "socks5", addresses: LOOPBACK, port },
  ] as const) {
    for (const tls of [undefined, targetTls]) {
      const error = await proxyErrorOf(open(route, { addresses: ["192.0.2.1"], port: 443, tls }));
      expect(error).toMatchObject({ code: "ECONNREFUSED", isAboutTarget: false });
      expect(error.message).toBe(`no connection to the proxy: no connection to port ${port}: 127.0.0.1 ECONNREFUSED`);
      expect(error.cause).toBeInstanceOf(HttpError);
    }
  }
});
