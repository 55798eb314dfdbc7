import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { networkInterfaces } from "node:os";
import type { ResourceRow } from "../support/answers.ts";
import { eventually } from "../support/eventually.ts";
import { startFaultOrigin } from "../support/fault-origin.ts";
import { BODY, MISBEHAVIOURS } from "../support/misbehaviours.ts";
import { digest, pattern } from "../support/pattern.ts";
import { findPeers, findSocks, hasTemporary, type Peer, type Peers, type Socks } from "../support/peers.ts";
import { type Service, type ServiceOptions, startService } from "../support/service.ts";
import { makeCertificates } from "../support/tls.ts";

/** The binary through a SOCKS5 server that others wrote, to a web server that others wrote. */

setDefaultTimeout(60_000);

const found = { socks: findSocks(), peers: findPeers() };
for (const each of Object.values(found)) {
  if ("reason" in each) console.warn(`the tests through a SOCKS server are left out: ${each.reason}`);
}
const isHere = !("reason" in found.socks) && !("reason" in found.peers);
const socks = found.socks as Socks;
const peers = found.peers as Peers;
const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === "::1"));
if (!hasIpv6) console.warn("the tests through a SOCKS server over IPv6 are left out: this machine has no ::1");

const CREDENTIALS = "user:p@ss/w:rd%";
const ENV = { SOCKS_PASSWORD: "p@ss/w:rd%", WRONG_PASSWORD: "wrong-secret" };

describe.if(isHere)("microsocks", () => {
  const BODIES = Array.from({ length: 30 }, (_, i) => pattern(1000 + i * 997, i));
  const FILES = Object.fromEntries(BODIES.map((body, i) => [`f/${i}`, body]));
  const LARGE = pattern(8 * 2 ** 20, 9);
  const url = (peer: Peer, password?: string) =>
    `socks5://${password === undefined ? "" : `user:\${${password}}@`}127.0.0.1:${peer.port}`;

  test("with the right password brings plain and encrypted targets, whole", async () => {
    using certificates = makeCertificates("localhost");
    if (certificates === undefined) return;
    await using plain = await peers.nginx({ files: { ...FILES, large: LARGE } });
    await using secure = await peers.nginx({ files: { ...FILES, large: LARGE }, tls: certificates.good });
    await using proxy = await socks.start({ credentials: CREDENTIALS });
    await using service = await start({
      toml: `[tls]\nca_file = "${certificates.authorityFile}"\n${pool("main", [url(proxy, "SOCKS_PASSWORD")])}`,
    });
    for (const base of [`http://127.0.0.1:${plain.port}`, `https://localhost:${secure.port}`]) {
      const rows = await fetched(
        service,
        [...Object.keys(FILES), "large", "missing"].map((path) => `${base}/${path}`),
      );
      expect(codes(rows)).toEqual([...BODIES.map(() => "completed"), "completed", "DOWNLOAD_HTTP_404"]);
      expect(rows.slice(0, -1).map(({ bytes, sha256 }) => `${bytes} ${sha256}`)).toEqual(
        [...BODIES, LARGE].map(digest),
      );
      expect(rows.every(({ attempts }) => attempts === 1)).toBe(true);
    }
    // The proxy was told addresses, and no name.
    await connected(proxy, `127.0.0.1:${plain.port}`);
    await connected(proxy, `127.0.0.1:${secure.port}`);
    expect(proxy.log()).not.toContain("localhost");
    expect(await failures(service)).toEqual({});
    expect(service.log).not.toContain("p@ss");
  });

  test("does not make a certificate good: it is checked through the tunnel", async () => {
    using certificates = makeCertificates("localhost");
    if (certificates === undefined) return;
    await using expired = await peers.nginx({ files: FILES, tls: certificates.expired });
    await using good = await peers.nginx({ files: FILES, tls: certificates.good });
    await using proxy = await socks.start();
    const toml = pool("main", [url(proxy)]);
    await using trusting = await start({ toml, env: { NODE_EXTRA_CA_CERTS: certificates.authorityFile } });
    const urls = [
      `https://localhost:${good.port}/f/0`,
      `https://127.0.0.1:${good.port}/f/0`,
      `https://localhost:${expired.port}/f/0`,
    ];
    expect(codes(await fetched(trusting, urls))).toEqual(["completed", "DOWNLOAD_TLS_INVALID", "DOWNLOAD_TLS_INVALID"]);
    await using strict = await start({ toml });
    expect(codes(await fetched(strict, urls.slice(0, 1)))).toEqual(["DOWNLOAD_TLS_INVALID"]);
    expect(await failures(trusting)).toEqual({});
  });

  test("with a wrong password, or none, has failed; the next pool is taken, and metrics count", async () => {
    using certificates = makeCertificates("localhost");
    if (certificates === undefined) return;
    await using plain = await peers.nginx({ files: FILES });
    await using secure = await peers.nginx({ files: FILES, tls: certificates.good });
    await using closed = await socks.start({ credentials: CREDENTIALS });
    await using open = await socks.start();
    const toml = [
      pool("wrong", [url(closed, "WRONG_PASSWORD")]),
      pool("nameless", [url(closed)]),
      pool("falls", [url(closed, "WRONG_PASSWORD")], ["open"]),
      pool("open", [url(open)]),
    ].join("");
    await using service = await start({ toml, env: { NODE_EXTRA_CA_CERTS: certificates.authorityFile } });
    const urls = [`http://127.0.0.1:${plain.port}/f/1`, `https://localhost:${secure.port}/f/2`];
    const shown = `socks5://127.0.0.1:${closed.port}`;
    for (const [name, reason] of [
      ["wrong", "the SOCKS proxy refused the credentials"],
      ["nameless", "the SOCKS proxy demands credentials"],
    ] as const) {
      const rows = await fetched(service, urls, name);
      expect([name, ...codes(rows)]).toEqual([name, "PROXY_EXHAUSTED", "PROXY_EXHAUSTED"]);
      const message = `every endpoint of the proxy pool ${name} and of its fallbacks failed: ${shown}: ${reason}`;
      expect(rows.map(({ error }) => error?.message)).toEqual([message, message]);
    }
    const rows = await fetched(service, urls, "falls");
    expect(codes(rows)).toEqual(["completed", "completed"]);
    expect(rows.map(({ bytes, sha256 }) => `${bytes} ${sha256}`)).toEqual(BODIES.slice(1, 3).map(digest));
    // While the endpoint rests, its turn comes last: the second file may not have come to it.
    const { falls, ...others } = await failures(service);
    expect(others).toEqual({ wrong: 2, nameless: 2 });
    expect([1, 2]).toContain(falls ?? 0);
    expect(closed.log()).not.toContain("connected to");
    expect(service.log).not.toMatch(/p@ss|wrong-secret/);
  });

  test("that cannot reach the host says why, is asked nothing else, and works for other hosts", async () => {
    await using plain = await peers.nginx({ files: FILES });
    await using first = await socks.start();
    await using second = await socks.start();
    const toml = pool("main", [url(first)], ["more"]) + pool("more", [url(second)]);
    await using service = await start({ toml });
    const port = unusedPort();
    const urls = [`http://127.0.0.1:${port}/`, `https://127.0.0.1:${port}/`];
    const reason = "the SOCKS proxy did not connect: the connection was refused (5)";
    for (const target of urls) {
      const [row] = await fetched(service, [target]);
      expect(row?.error).toMatchObject({
        code: "PROXY_EXHAUSTED",
        message: `every endpoint of the proxy pool main and of its fallbacks failed: socks5://127.0.0.1:${first.port}: ${reason}; socks5://127.0.0.1:${second.port}: ${reason}`,
      });
    }
    expect(await failures(service)).toEqual({ main: 2, more: 2 });
    expect(codes(await fetched(service, [`http://127.0.0.1:${plain.port}/f/3`]))).toEqual(["completed"]);
    // It is not at fault, and has not rested.
    await connected(first, `127.0.0.1:${plain.port}`);
    expect(second.log()).not.toContain(`connected to 127.0.0.1:${plain.port}`);
  });

  test("that ends in the middle of a file: the rest is asked for through the next pool", async () => {
    await using nginx = await peers.nginx({
      files: { large: LARGE },
      locations: "limit_rate 4m; limit_rate_after 1m;",
    });
    await using mortal = await socks.start();
    await using other = await socks.start();
    await using service = await start({ toml: pool("main", [url(mortal)], ["more"]) + pool("more", [url(other)]) });
    const job = await submit(service, [`http://127.0.0.1:${nginx.port}/large`], "main");
    await eventually("two megabytes have come", () => hasTemporary(service, 2 ** 21));
    process.kill(mortal.pid, "SIGKILL");
    expect((await service.finished(job)).status).toBe("completed");
    const [row] = await service.resources(job);
    expect([row?.attempts, `${row?.bytes} ${row?.sha256}`]).toEqual([1, digest(LARGE)]);
    const resumed = /^206 "GET \/large HTTP\/1\.1" range=bytes=\d+-$/m;
    await eventually("nginx has been asked for the rest", () => resumed.test(nginx.log()) || undefined);
    expect(await failures(service)).toEqual({ main: 1 });
  });

  test.if(hasIpv6)("on an IPv6 address, and to one", async () => {
    await using plain = await peers.nginx({ files: FILES });
    using origin = startFaultOrigin(MISBEHAVIOURS, { hostname: "::1" });
    await using proxy = await socks.start({ address: "::1", credentials: CREDENTIALS });
    await using service = await start({
      toml: pool("main", [`socks5://user:\${SOCKS_PASSWORD}@[::1]:${proxy.port}`]),
      settings: { "egress.allow_private": "127.0.0.0/8,::1/128" },
    });
    const rows = await fetched(service, [`http://127.0.0.1:${plain.port}/f/4`, `${origin.url}/ok`]);
    expect(rows.map(({ bytes, sha256 }) => `${bytes} ${sha256}`)).toEqual(
      [BODIES[4], new TextEncoder().encode(BODY)].map(digest),
    );
    await connected(proxy, `::1:${origin.port}`);
    const [refused] = await fetched(service, [`http://[::1]:${unusedPort()}/`]);
    expect(refused?.error?.message).toEndWith(
      `socks5://[::1]:${proxy.port}: the SOCKS proxy did not connect: the connection was refused (5)`,
    );
  });
});

/** A pool, and a handler of its name that takes it. */
function pool(name: string, endpoints: readonly string[], fallbacks: readonly string[] = []): string {
  const list = (values: readonly string[]) => values.map((value) => `"${value}"`).join(", ");
  return [
    `[proxies.${name}]`,
    `endpoints = [${list(endpoints)}]`,
    `fallbacks = [${list(fallbacks)}]`,
    `[handlers.${name}]`,
    'handler = "default"',
    `proxy.primary = "${name}"`,
    "",
  ].join("\n");
}

function start({ settings, env, ...more }: ServiceOptions): Promise<Service> {
  return startService({ ...more, settings: { "queue.max_retries": 0, ...settings }, env: { ...ENV, ...env } });
}

function submit(service: Service, urls: readonly string[], jobType: string): Promise<string> {
  const resources = urls.map((url, i) => ({ id: `r${i}`, url }));
  return service.submit({ manifest_version: "v1", resources }, { "x-fetchbox-job-type": jobType });
}

async function fetched(service: Service, urls: readonly string[], jobType = "main"): Promise<ResourceRow[]> {
  const job = await submit(service, urls, jobType);
  await service.finished(job);
  return service.resources(job);
}

const codes = (rows: readonly ResourceRow[]) => rows.map(({ state, error }) => error?.code ?? state);

/** What `fetchbox_proxy_failures_total` says of each pool. */
async function failures(service: Service): Promise<Record<string, number>> {
  const metrics = await (await service.fetch("/metrics")).text();
  const lines = metrics.matchAll(/^fetchbox_proxy_failures_total\{pool="([^"]+)"\} ([1-9]\d*)$/gm);
  return Object.fromEntries([...lines].map(([, name, count]) => [name, Number(count)]));
}

/** Resolves once the proxy's log says that it was connected there. */
async function connected(proxy: Peer, to: string): Promise<void> {
  await eventually(`the proxy is connected to ${to}`, () => proxy.log().includes(`connected to ${to}\n`) || undefined);
}

/** A port of the loopback addresses where nobody listens. */
function unusedPort(): number {
  using origin = startFaultOrigin({});
  return origin.port;
}
