import { describe, expect, test } from "bun:test";
import type { Route } from "../../src/http/route.ts";
import { FakeClock } from "../support/clock.ts";
import { rejectionOf } from "../support/rejection.ts";
import { Authority, hasOpenssl } from "./odd-certificates.ts";
import { LOOPBACK, open, proxyErrorOf } from "./open-route.ts";
import { answering, startServer, startTlsServer } from "./raw-server.ts";
import { Recorder } from "./recorder.ts";
import { startSocks } from "./socks-server.ts";

const authority = hasOpenssl ? new Authority("Test Authority") : undefined;
const certificate = authority?.sign({ names: "DNS:target.test" });

describe("a tunnel by SOCKS5", () => {
  test.each([
    ["at once", false],
    ["one byte at a time", true],
  ])("carries a plain stream, with answers that come %s", async (_, isSlow) => {
    await using target = await startServer(answering("hello"));
    await using proxy = await startSocks({ isSlow });
    const route: Route = { kind: "socks5", addresses: LOOPBACK, port: proxy.port };
    const transport = await open(route, { addresses: LOOPBACK, port: target.port });
    const got = new Recorder(transport);
    transport.write(new TextEncoder().encode("hi"));
    expect(await got.ended).toBeUndefined();
    expect(got.text).toBe("hello");
    expect(proxy.asked).toEqual([`1 7f000001 ${target.port}`]);
  });

  test("names IPv6 addresses", async () => {
    await using target = await startServer(answering("hello"), "::1");
    await using proxy = await startSocks();
    const route: Route = { kind: "socks5", addresses: LOOPBACK, port: proxy.port };
    (await open(route, { addresses: ["::1"], port: target.port })).destroy();
    expect(proxy.asked).toEqual([`4 00000000000000000000000000000001 ${target.port}`]);
  });

  test.each([
    ["an IPv6 address", [4, ...Array<number>(16).fill(0)]],
    ["a name", [3, 4, ...Buffer.from("some")]],
  ])("understands %s in the reply, and loses nothing behind it", async (_, bound) => {
    await using target = await startServer((socket) => socket.end("first words"));
    await using proxy = await startSocks({ bound });
    const route: Route = { kind: "socks5", addresses: LOOPBACK, port: proxy.port };
    const got = new Recorder(await open(route, { addresses: LOOPBACK, port: target.port }));
    await got.ended;
    expect(got.text).toBe("first words");
  });

  test("keeps bytes that arrive in one packet with the reply", async () => {
    await using proxy = await startServer((socket) => {
      socket.once("data", () => {
        socket.write(Buffer.from([5, 0]));
        socket.once("data", () => socket.end(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...Buffer.from("at once")])));
      });
    });
    const route: Route = { kind: "socks5", addresses: LOOPBACK, port: proxy.port };
    const got = new Recorder(await open(route, { addresses: LOOPBACK, port: 80 }));
    expect(await got.ended).toBeUndefined();
    expect(got.text).toBe("at once");
  });

  test("gives its credentials", async () => {
    await using target = await startServer(answering("hello"));
    await using proxy = await startSocks({ credentials: "user:sécret", isSlow: true });
    const route = (password: string): Route => ({
      kind: "socks5",
      addresses: LOOPBACK,
      port: proxy.port,
      credentials: { username: "user", password },
    });
    (await open(route("sécret"), { addresses: LOOPBACK, port: target.port })).destroy();
    const refusal = await proxyErrorOf(open(route("wrong"), { addresses: LOOPBACK, port: target.port }));
    expect(refusal).toMatchObject({ code: "SOCKS_AUTH", isAboutTarget: false });
    const tooLong = open(route("x".repeat(256)), { addresses: LOOPBACK, port: target.port });
    expect(await rejectionOf(tooLong)).toBeInstanceOf(TypeError);
  });

  test("reports a demand for credentials when there are none", async () => {
    await using proxy = await startSocks({ credentials: "user:secret" });
    const route: Route = { kind: "socks5", addresses: LOOPBACK, port: proxy.port };
    const refusal = await proxyErrorOf(open(route, { addresses: LOOPBACK, port: 80 }));
    expect(refusal).toMatchObject({ code: "SOCKS_AUTH", message: "the SOCKS proxy demands credentials" });
  });

  test.each([
    [1, false, "general failure"],
    [2, false, "rules do not allow"],
    [3, true, "network cannot be reached"],
    [4, true, "host cannot be reached"],
    [5, true, "was refused"],
    [6, true, "time to live"],
    [7, false, "command"],
    [8, false, "kind of address"],
    [99, false, "unknown reply"],
  ])("reply %d", async (reply, isAboutTarget, words) => {
    await using proxy = await startSocks({ refuses: reply, isSlow: true });
    const route: Route = { kind: "socks5", addresses: LOOPBACK, port: proxy.port };
    const error = await proxyErrorOf(open(route, { addresses: LOOPBACK, port: 80 }));
    expect(error).toMatchObject({ kind: "proxy", code: `SOCKS_${reply}`, isAboutTarget });
    expect(error.message).toContain(words);
  });

  test("a proxy of another protocol is reported as such", async () => {
    await using proxy = await startServer(answering("HTTP/1.1 400 Bad Request\r\n\r\n"));
    const route: Route = { kind: "socks5", addresses: LOOPBACK, port: proxy.port };
    const error = await proxyErrorOf(open(route, { addresses: LOOPBACK, port: 80 }));
    expect(error).toMatchObject({ isAboutTarget: false, message: "the proxy does not speak SOCKS5" });
  });

  test("a silent proxy meets the limit of the tunnel", async () => {
    const clock = new FakeClock();
    await using proxy = await startServer(() => {});
    const route: Route = { kind: "socks5", addresses: LOOPBACK, port: proxy.port };
    const failure = rejectionOf(open(route, { addresses: LOOPBACK, port: 80 }, { clock }));
    const socket = await proxy.nextSocket();
    await new Promise((resolve) => socket.once("data", resolve));
    await clock.advance(700);
    expect(await failure).toMatchObject({ kind: "timeout", phase: "tunnel" });
    expect(clock.pending).toBe(0);
  });

  test.skipIf(!hasOpenssl)("carries TLS to the target", async () => {
    await using target = await startTlsServer(certificate ?? { cert: "", key: "" }, (socket) => socket.end("secret"));
    await using proxy = await startSocks({ isSlow: true });
    const route: Route = { kind: "socks5", addresses: LOOPBACK, port: proxy.port };
    const got = new Recorder(
      await open(route, {
        addresses: LOOPBACK,
        port: target.port,
        tls: { serverName: "target.test", ca: authority && [authority.pem] },
      }),
    );
    expect(await got.ended).toBeUndefined();
    expect(got.text).toBe("secret");
  });
});
