import { describe, expect, test } from "bun:test";
import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { createConnector } from "../../src/http/connect.ts";
import type { HttpError } from "../../src/http/http-error.ts";
import { FakeClock } from "../support/clock.ts";
import { eventually } from "../support/eventually.ts";
import { rejectionOf } from "../support/rejection.ts";
import { Authority, hasOpenssl, startOpenssl } from "./odd-certificates.ts";
import { startServer, startTlsServer } from "./raw-server.ts";
import { Recorder } from "./recorder.ts";

const WAYS = ["connect", "connectByNode"] as const;

/** A TLS alert as one record (RFC 8446, 6): fatal, with its number. */
function alert(description: number): Buffer {
  return Buffer.from([21, 3, 3, 0, 2, 2, description]);
}

interface Refusal {
  readonly kind: string;
  readonly code?: string;
  readonly words: string;
}

describe.skipIf(!hasOpenssl).each(WAYS)("TLS, %s", (by) => {
  const authority = new Authority("Known Authority");
  const stranger = new Authority("Strange Authority");
  const good = authority.sign({ names: "DNS:x.test" });

  async function open(port: number, serverName: string | undefined, ca: string[] | undefined = [authority.pem]) {
    const limits = { connectTimeoutMs: 1000, tlsTimeoutMs: 500, signal: new AbortController().signal };
    const clock = new FakeClock();
    try {
      const connector = createConnector({ clock });
      return await connector[by]({ addresses: ["127.0.0.1"], port, tls: { serverName, ca }, ...limits });
    } finally {
      expect(clock.pending).toBe(0);
    }
  }

  async function expectRefusal(port: number, serverName: string | undefined, refusal: Refusal): Promise<void> {
    const error = (await rejectionOf(open(port, serverName))) as HttpError;
    expect({ kind: error.kind, code: error.code, phase: error.phase }).toEqual({
      kind: refusal.kind as HttpError["kind"],
      code: refusal.code,
      phase: "tls",
    });
    expect(error.message).toContain(refusal.words);
  }

  test.each([
    ["its name", "DNS:x.test", "x.test"],
    ["its name in other letters", "DNS:X.Test", "x.test"],
    ["a wildcard", "DNS:*.x.test", "a.x.test"],
    ["one of several names", "DNS:y.test,DNS:x.test", "x.test"],
    ["an IP address", "IP:127.0.0.1", undefined],
  ])("a certificate for %s is approved", async (_, names, serverName) => {
    using server = await startOpenssl(authority.sign({ names }).file);
    (await open(server.port, serverName)).destroy();
  });

  test.each([
    ["another name", "DNS:y.test", "x.test", "not for x.test"],
    ["a wildcard one level up", "DNS:*.test", "a.x.test", "not for a.x.test"],
    ["the wildcard's own name", "DNS:*.x.test", "x.test", "not for x.test"],
    ["another IP address", "IP:127.0.0.2", undefined, "not for 127.0.0.1"],
    ["a name that looks like the IP address", "DNS:127.0.0.1", undefined, "not for 127.0.0.1"],
    ["a name where the URL has an address", "DNS:x.test", undefined, "not for 127.0.0.1"],
    ["an address where the URL has a name", "IP:127.0.0.1", "x.test", "not for x.test"],
  ])("a certificate for %s is refused", async (_, names, serverName, words) => {
    using server = await startOpenssl(authority.sign({ names }).file);
    await expectRefusal(server.port, serverName, { kind: "tls", code: "ERR_TLS_CERT_ALTNAME_INVALID", words });
  });

  test("an expired certificate is refused", async () => {
    using server = await startOpenssl(authority.sign({ names: "DNS:x.test", to: "20210101000000Z" }).file);
    const words = "the certificate has expired (CERT_HAS_EXPIRED)";
    await expectRefusal(server.port, "x.test", { kind: "tls", code: "CERT_HAS_EXPIRED", words });
  });

  test("a certificate that is not valid yet is refused", async () => {
    using server = await startOpenssl(authority.sign({ names: "DNS:x.test", from: "20900101000000Z" }).file);
    await expectRefusal(server.port, "x.test", { kind: "tls", code: "CERT_NOT_YET_VALID", words: "not valid yet" });
  });

  test("a self-signed certificate is refused", async () => {
    using server = await startOpenssl(authority.selfSigned("DNS:x.test").file);
    const code = "DEPTH_ZERO_SELF_SIGNED_CERT";
    await expectRefusal(server.port, "x.test", { kind: "tls", code, words: "self-signed" });
  });

  test("a certificate of an unknown authority is refused", async () => {
    using server = await startOpenssl(stranger.sign({ names: "DNS:x.test" }).file);
    const code = "UNABLE_TO_VERIFY_LEAF_SIGNATURE";
    await expectRefusal(server.port, "x.test", { kind: "tls", code, words: "authority is unknown" });
  });

  test("no data is written before the certificate was approved, and the refused socket is closed", async () => {
    let received = 0;
    const certificate = authority.sign({ names: "DNS:y.test" });
    await using server = await startTlsServer(certificate, (socket) => {
      socket.on("data", (chunk: Buffer) => {
        received += chunk.length;
      });
    });
    await rejectionOf(open(server.port, "x.test"));
    await eventually("the close", () => server.sockets[0]?.destroyed || undefined);
    expect(received).toBe(0);
  });

  test("TLS 1.2 is spoken", async () => {
    using server = await startOpenssl(good.file, ["-tls1_2"]);
    (await open(server.port, "x.test")).destroy();
  });

  test("TLS 1.1 is refused", async () => {
    using server = await startOpenssl(good.file, ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    const code = "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION";
    await expectRefusal(server.port, "x.test", { kind: "tls", code, words: "an alert: protocol version" });
  });

  test("a server that demands a client certificate by TLS 1.2 refuses", async () => {
    using server = await startOpenssl(good.file, ["-Verify", "1", "-tls1_2"]);
    const code = "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE";
    await expectRefusal(server.port, "x.test", { kind: "tls", code, words: "an alert: handshake failure" });
  });

  test.each([
    [40, "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE", "handshake failure"],
    [70, "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION", "protocol version"],
    [80, "ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR", "internal error"],
    [112, "ERR_SSL_TLSV1_ALERT_UNRECOGNIZED_NAME", "unrecognized name"],
  ])("alert %d is an error of TLS", async (description, code, words) => {
    await using server = await startServer((socket) => socket.once("data", () => socket.end(alert(description))));
    await expectRefusal(server.port, "x.test", { kind: "tls", code, words: `with an alert: ${words} (${code})` });
  });

  test("a plain HTTP server on the port is reported as such", async () => {
    const server = createServer((_, answer) => answer.end("plain"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const words = "the server does not speak TLS on this port";
    await expectRefusal(port, "x.test", { kind: "protocol", code: "ERR_SSL_WRONG_VERSION_NUMBER", words });
    server.close();
  });

  test("a server that speaks first in another protocol is reported as such", async () => {
    await using server = await startServer((socket) => socket.write("SSH-2.0-OpenSSH_9.9\r\n"));
    const words = "the server does not speak TLS on this port";
    await expectRefusal(server.port, "x.test", { kind: "protocol", code: "ERR_SSL_WRONG_VERSION_NUMBER", words });
  });

  test.each([
    ["at once", (socket: Socket) => socket.end()],
    ["after the first message", (socket: Socket) => socket.once("data", () => socket.end())],
    ["within its answer", (socket: Socket) => socket.once("data", () => socket.end(Buffer.from([22, 3, 3, 0, 80, 2])))],
  ])("a connection that is closed %s is closed, not an error of TLS", async (_, serve) => {
    await using server = await startServer(serve);
    await expectRefusal(server.port, "x.test", { kind: "closed", words: "closed the connection during the TLS" });
  });

  test("a reset in the handshake is a reset", async () => {
    await using server = await startServer((socket) => socket.once("data", () => socket.resetAndDestroy()));
    await expectRefusal(server.port, "x.test", { kind: "reset", code: "ECONNRESET", words: "ECONNRESET" });
  });

  test("a silent server meets the limit of the handshake, and is closed", async () => {
    const clock = new FakeClock();
    const signal = new AbortController().signal;
    await using server = await startServer(() => {});
    const tls = { serverName: "x.test", ca: undefined };
    const limits = { connectTimeoutMs: 1000, tlsTimeoutMs: 500, signal };
    const options = { addresses: ["127.0.0.1"], port: server.port, tls, ...limits };
    const failure = rejectionOf(createConnector({ clock })[by](options));
    const socket = await server.nextSocket();
    await new Promise((resolve) => socket.once("data", resolve));
    await clock.advance(499);
    expect(socket.destroyed).toBe(false);
    await clock.advance(1);
    expect(await failure).toMatchObject({ kind: "timeout", phase: "tls" });
    await eventually("the close", () => socket.readableEnded || socket.destroyed || undefined);
    expect(clock.pending).toBe(0);
  });

  test("an abort within the handshake rejects at once, and closes the socket", async () => {
    const clock = new FakeClock();
    const abort = new AbortController();
    await using server = await startServer((socket) => socket.resume());
    const tls = { serverName: "x.test", ca: undefined };
    const limits = { connectTimeoutMs: 1000, tlsTimeoutMs: 500, signal: abort.signal };
    const options = { addresses: ["127.0.0.1"], port: server.port, tls, ...limits };
    const failure = rejectionOf(createConnector({ clock })[by](options));
    const socket = await server.nextSocket();
    await new Promise((resolve) => socket.once("data", resolve));
    abort.abort(new Error("stop"));
    expect(await failure).toBe(abort.signal.reason);
    await eventually("the close", () => socket.readableEnded || socket.destroyed || undefined);
    expect(clock.pending).toBe(0);
  });

  test("only http/1.1 is offered by ALPN, and the server name by SNI", async () => {
    const hello = Promise.withResolvers<Buffer>();
    await using server = await startServer((socket) =>
      socket.once("data", (chunk: Buffer) => {
        hello.resolve(chunk);
        socket.end();
      }),
    );
    await rejectionOf(open(server.port, "x.test"));
    const bytes = await hello.promise;
    // Extension 16, its length, the length of the list, the one name (RFC 7301, 3.1).
    expect(bytes.includes(Buffer.from("\x00\x10\x00\x0b\x00\x09\x08http/1.1", "latin1"))).toBe(true);
    expect(bytes.includes("x.test")).toBe(true);
  });

  test("more authorities stand beside those of NODE_EXTRA_CA_CERTS", async () => {
    using known = await startOpenssl(good.file);
    using strange = await startOpenssl(stranger.sign({ names: "DNS:x.test" }).file);
    const unknown = "UNABLE_TO_VERIFY_LEAF_SIGNATURE";
    const ask = async (env: Record<string, string>, port: number) => (await runClient(env, port))[WAYS.indexOf(by)];
    const extra = { NODE_EXTRA_CA_CERTS: stranger.file };
    expect(await ask(extra, strange.port)).toBe("ok");
    expect(await ask(extra, known.port)).toBe(unknown);
    expect(await ask({ ...extra, CA: authority.file }, strange.port)).toBe("ok");
    expect(await ask({ ...extra, CA: authority.file }, known.port)).toBe("ok");
    expect(await ask({ CA: authority.file }, strange.port)).toBe(unknown);
  });

  test("NODE_TLS_REJECT_UNAUTHORIZED=0 weakens nothing", async () => {
    const lax = { NODE_TLS_REJECT_UNAUTHORIZED: "0", CA: authority.file };
    using expired = await startOpenssl(authority.sign({ names: "DNS:x.test", to: "20210101000000Z" }).file);
    using wrong = await startOpenssl(authority.sign({ names: "DNS:y.test" }).file);
    expect((await runClient(lax, expired.port))[WAYS.indexOf(by)]).toBe("CERT_HAS_EXPIRED");
    expect((await runClient(lax, wrong.port))[WAYS.indexOf(by)]).toBe("ERR_TLS_CERT_ALTNAME_INVALID");
  });

  test("data behind the handshake reaches the first handler", async () => {
    await using server = await startTlsServer(good, (socket) => socket.end("hello"));
    await using middle = await startServer((socket) => {
      const onwards = connect(server.port, "127.0.0.1");
      socket.pipe(onwards).pipe(socket);
    });
    const got = new Recorder(await open(middle.port, "x.test"));
    expect(await got.ended).toBeUndefined();
    expect(got.text).toBe("hello");
  });
});

/** The outcome of `connect` and of `connectByNode` in a process with these variables. */
async function runClient(variables: Record<string, string>, port: number): Promise<string[]> {
  const { NODE_EXTRA_CA_CERTS: _, ...rest } = process.env;
  const child = Bun.spawn([process.execPath, `${import.meta.dir}/tls-client.ts`], {
    env: { ...rest, ...variables, PORT: String(port) },
    stdout: "pipe",
    stderr: "ignore",
  });
  return (await child.stdout.text()).trim().split("\n");
}
