import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { createEgressPolicy } from "../../src/net/egress-policy.ts";
import { type ProxyPool, ProxyPools } from "../../src/worker/download/proxies.ts";
import { FakeClock } from "../support/clock.ts";
import { startRig } from "../support/download-rig.ts";
import { startFaultOrigin } from "../support/fault-origin.ts";
import { startForwardProxy } from "../support/forward-proxy.ts";
import { BODY, MISBEHAVIOURS } from "../support/misbehaviours.ts";
import { proxyServer as endpoint } from "../support/proxy-server.ts";

const SECRET = "proxy-user:proxy-secret";
const pool = (endpoints: ProxyPool["endpoints"], ...fallbacks: string[]): ProxyPool => ({ endpoints, fallbacks });

/** The URL of a proxy that is not there. */
function deadProxy(): string {
  using origin = startFaultOrigin({});
  return origin.url;
}

/** A host that takes connections and closes them: tunnels to it stand, and nothing comes out of them. */
function startClosingHost(): Disposable & { readonly port: number } {
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { open: (socket) => void socket.end(), data: () => {} },
  });
  return { port: listener.port, [Symbol.dispose]: () => listener.stop(true) };
}

/** The names of a pool's endpoints, in their order. */
const orderIn = (pools: ProxyPools) => (name: string) =>
  [...pools.attempts(name)].map(({ url }) => url.slice("http://".length)).join(" ");

describe("an endpoint that fails", () => {
  function setup() {
    const clock = new FakeClock();
    const rests: [string, number, string][] = [];
    const pools = new ProxyPools(
      new Map([
        ["a", pool([endpoint("http://a1"), endpoint("http://a2")], "b")],
        ["b", pool([endpoint("http://b1")])],
      ]),
      clock,
      ({ url }, ms, reason) => rests.push([url, ms, reason]),
    );
    const named = (name: string) => {
      const found = [...pools.attempts("a")].find(({ url }) => url.endsWith(name));
      if (found === undefined) throw new Error(`no endpoint ${name}`);
      return found;
    };
    return { clock, pools, rests, named, order: () => orderIn(pools)("a") };
  }

  test("comes after all others while it rests, and is left to one request when the rest is over", async () => {
    const { clock, pools, named, order } = setup();
    const a1 = named("a1");
    pools.report(a1, "failed");
    expect([order(), order()]).toEqual(["a2 b1 a1", "a2 b1 a1"]);
    await clock.advance(1000);
    expect([order(), order()]).toEqual(["a2 a1 b1", "a2 b1 a1"]);
    pools.report(a1, "works");
    expect([order(), order()].toSorted()).toEqual(["a1 a2 b1", "a2 a1 b1"]);
  });

  test("rests for 1 s doubling to 60 s, and 1 s again once it has worked", () => {
    const { pools, rests, named } = setup();
    const a2 = named("a2");
    for (let i = 0; i < 8; i++) pools.report(a2, "failed", "refused");
    expect(rests.map(([, ms]) => ms)).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    pools.report(a2, "works");
    pools.report(a2, "failed", "407");
    expect(rests.slice(-2)).toEqual([
      ["http://a2", 60_000, "refused"],
      ["http://a2", 1000, "407"],
    ]);
  });

  test("by silence rests when it was silent three times in a row", () => {
    const { pools, rests, named } = setup();
    const a1 = named("a1");
    for (const report of ["silent", "silent", "works", "silent", "silent"] as const) pools.report(a1, report);
    expect(rests).toEqual([]);
    pools.report(a1, "silent");
    expect(rests).toEqual([["http://a1", 1000, ""]]);
  });

  test("is tried all the same where all others fail, the one that has rested longest first", async () => {
    const { clock, pools, named, order } = setup();
    for (const name of ["b1", "a2", "a1"]) {
      pools.report(named(name), "failed");
      await clock.advance(10);
    }
    expect(order()).toBe("b1 a2 a1");
  });
});

test("the endpoints of a pool take turns, its fallbacks follow, each pool once", () => {
  const pools = new ProxyPools(
    new Map([
      ["a", pool([endpoint("http://a1"), endpoint("http://a2"), endpoint("http://a3")], "b", "c")],
      ["b", pool([endpoint("http://b1"), endpoint("http://b2")], "a", "c", "unknown")],
      ["c", pool([endpoint("http://c1")])],
    ]),
    new FakeClock(),
  );
  const order = orderIn(pools);
  expect(order("a")).toBe("a1 a2 a3 b1 b2 c1");
  expect(order("a")).toBe("a2 a3 a1 b2 b1 c1");
  expect(order("a")).toBe("a3 a1 a2 b1 b2 c1");
  expect(order("c")).toBe("c1");
  expect(order("unknown")).toBe("");
  expect(pools.attempts("b").next().value).toMatchObject({ pool: "b", url: "http://b2" });
});

describe("a download through a pool", () => {
  test("asks the proxy for the checked address, by the name's Host", async () => {
    await using proxy = await startForwardProxy();
    await using rig = await startRig({ pools: { main: pool([endpoint(proxy.url)]) } });
    const { port } = rig.origin;
    await rig.stored(`http://origin.test:${port}/ok`, { proxyPool: "main" });
    expect(await rig.text()).toBe(BODY);
    expect(proxy.asked).toEqual([`GET http://127.0.0.1:${port}/ok`]);
    expect(rig.origin.requests[0]?.header("host")).toBe(`origin.test:${port}`);
    expect(rig.proxyFailures).toEqual([]);
  });

  test("without a pool goes straight", async () => {
    await using proxy = await startForwardProxy();
    await using rig = await startRig({ pools: { main: pool([endpoint(proxy.url)]) } });
    await rig.stored("/ok");
    expect(proxy.asked).toEqual([]);
  });

  test("is judged by the egress policy as any other", async () => {
    await using proxy = await startForwardProxy();
    const policy = createEgressPolicy({ allowPrivate: [] });
    await using rig = await startRig({ policy, pools: { main: pool([endpoint(proxy.url)]) } });
    const { failure } = await rig.failed("/ok", { proxyPool: "main" });
    expect(failure.code).toBe("DOWNLOAD_URL_NOT_ALLOWED");
    expect(proxy.asked).toEqual([]);
  });

  test("takes the endpoints in turn", async () => {
    await using first = await startForwardProxy();
    await using second = await startForwardProxy();
    await using rig = await startRig({ pools: { main: pool([endpoint(first.url), endpoint(second.url)]) } });
    for (let i = 0; i < 4; i++) await rig.stored("/ok", { proxyPool: "main" });
    expect([first.asked.length, second.asked.length]).toEqual([2, 2]);
  });

  test("takes every redirect through the pool", async () => {
    await using proxy = await startForwardProxy();
    await using rig = await startRig({ pools: { main: pool([endpoint(proxy.url)]) } });
    await rig.stored("/redirect/302/%2Fok", { proxyPool: "main" });
    expect(proxy.asked.length).toBe(2);
  });

  test("sends the endpoint's credentials to the endpoint alone", async () => {
    await using proxy = await startForwardProxy({ credentials: SECRET });
    await using rig = await startRig({ pools: { main: pool([endpoint(proxy.url, SECRET)]) } });
    await rig.stored("/ok", { proxyPool: "main" });
    expect(proxy.authorizations).toEqual([`Basic ${btoa(SECRET)}`]);
    expect(rig.origin.requests[0]?.headers.flat().join(" ")).not.toContain(btoa(SECRET));
  });

  test("names its endpoint, and no secret", async () => {
    await using proxy = await startForwardProxy({ credentials: SECRET });
    await using rig = await startRig({ pools: { main: pool([endpoint(proxy.url, SECRET)]) } });
    const { failure, attempt } = await rig.failed("/status/404", { proxyPool: "main" });
    expect(failure.code).toBe("DOWNLOAD_HTTP_404");
    expect(attempt).toMatchObject({ proxy: proxy.url, address: "127.0.0.1", httpStatus: 404 });
    expect(JSON.stringify([failure, failure.message, attempt])).not.toMatch(/proxy-secret|Basic/);
  });
});

test("a proxy that failed is not asked again while another works, and is when its rest is over", async () => {
  await using locked = await startForwardProxy({ credentials: SECRET });
  await using good = await startForwardProxy();
  await using rig = await startRig({ pools: { main: pool([endpoint(locked.url), endpoint(good.url)]) } });
  for (let i = 0; i < 6; i++) await rig.stored("/ok", { proxyPool: "main" });
  expect([locked.asked.length, good.asked.length]).toEqual([1, 6]);
  await rig.clock.advance(1000);
  for (let i = 0; i < 6; i++) await rig.stored("/ok", { proxyPool: "main" });
  expect([locked.asked.length, good.asked.length]).toEqual([2, 12]);
});

test("a proxy whose rest is over is tried by the next request in turn, although others were made before", async () => {
  await using locked = await startForwardProxy({ credentials: SECRET });
  await using good = await startForwardProxy();
  await using rig = await startRig({ pools: { main: pool([endpoint(locked.url), endpoint(good.url)]) } });
  await rig.stored("/ok", { proxyPool: "main" });
  expect([locked.asked.length, good.asked.length]).toEqual([1, 1]);
  await rig.clock.advance(1000);
  // The turn of the good one: the other is not asked, and its rest does not grow by that.
  await rig.stored("/ok", { proxyPool: "main" });
  expect([locked.asked.length, good.asked.length]).toEqual([1, 2]);
  await rig.stored("/ok", { proxyPool: "main" });
  expect([locked.asked.length, good.asked.length]).toEqual([2, 3]);
});

test.each<[number, number]>([
  [403, 2],
  [407, 1],
  [502, 2],
])("a proxy that refuses a tunnel with %d is asked %d times of two", async (status, times) => {
  await using bad = await startForwardProxy({ refusesTunnels: status });
  await using good = await startForwardProxy();
  await using rig = await startRig({ pools: { main: pool([endpoint(bad.url), endpoint(good.url)]) } });
  using host = startClosingHost();
  const { port } = host;
  for (let i = 0; i < 3; i++) await rig.failed(`https://origin.test:${port}/`, { proxyPool: "main" });
  expect(bad.asked.length).toBe(times);
});

describe("a proxy's own failure moves on to the next endpoint", () => {
  test.each<[string, () => Promise<{ url: string; more?: AsyncDisposable }>]>([
    ["refused", () => Promise.resolve({ url: deadProxy() })],
    ["no such name", () => Promise.resolve({ url: "http://proxy.invalid:3128" })],
    [
      "407",
      async () => {
        const proxy = await startForwardProxy({ credentials: SECRET });
        return { url: proxy.url, more: proxy };
      },
    ],
  ])("%s", async (_, start) => {
    const { url, more } = await start();
    await using good = await startForwardProxy();
    await using rig = await startRig({ pools: { main: pool([endpoint(url), endpoint(good.url)]) } });
    await rig.stored("/ok", { proxyPool: "main" });
    expect(rig.proxyFailures).toEqual(["main"]);
    expect(good.asked.length).toBe(1);
    expect(rig.origin.requests.length).toBe(1);
    await more?.[Symbol.asyncDispose]();
  });

  test.each([403, 407, 502])("a tunnel refused with %d", async (status) => {
    await using bad = await startForwardProxy({ refusesTunnels: status });
    await using good = await startForwardProxy();
    await using rig = await startRig({ pools: { main: pool([endpoint(bad.url), endpoint(good.url)]) } });
    using host = startClosingHost();
    const { port } = host;
    await rig.failed(`https://origin.test:${port}/`, { proxyPool: "main" });
    expect(bad.asked).toEqual([`CONNECT 127.0.0.1:${port}`]);
    expect(good.asked).toEqual([`CONNECT 127.0.0.1:${port}`]);
    expect(rig.proxyFailures).toEqual(["main"]);
  });

  test.each([
    ["closes", (socket: Socket) => void socket.end()],
    ["resets", (socket: Socket) => void socket.resetAndDestroy()],
    ["answers with a banner", (socket: Socket) => void socket.end("SSH-2.0-OpenSSH_9.2\r\n")],
  ])("a plain request that a proxy takes and %s", async (_, end) => {
    const server = createServer((socket) => void socket.once("data", () => end(socket))).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    await using good = await startForwardProxy();
    await using rig = await startRig({
      pools: { main: pool([endpoint(`http://127.0.0.1:${port}`), endpoint(good.url)]) },
    });
    for (let i = 0; i < 8; i++) await rig.stored("/ok", { proxyPool: "main" });
    // After three times in a row it rests.
    expect(rig.proxyFailures).toEqual(["main", "main", "main"]);
    expect([good.asked.length, rig.origin.requests.length]).toEqual([8, 8]);
    server.close();
  });

  test.each([
    ["http", "https://origin.test"],
    ["socks5", "http://origin.test"],
  ] as const)("a tunnel that a silent proxy (%s) never opens", async (kind, origin) => {
    const asked = Promise.withResolvers<void>();
    using silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => asked.resolve() } });
    await using good = await startForwardProxy();
    await using rig = await startRig({
      pools: {
        main: pool([{ ...endpoint(`http://127.0.0.1:${silent.port}`), kind }], "spare"),
        spare: pool([endpoint(good.url)]),
      },
    });
    using host = startClosingHost();
    const failed = rig.failed(`${origin}:${host.port}/`, { proxyPool: "main" });
    await asked.promise;
    await rig.clock.advance(10_000);
    await failed;
    expect(good.asked.length).toBe(1);
    expect(rig.proxyFailures[0]).toBe("main");
  });

  test("and then to the fallback pools", async () => {
    await using good = await startForwardProxy();
    await using rig = await startRig({
      pools: {
        main: pool([endpoint(deadProxy()), endpoint(deadProxy())], "spare"),
        spare: pool([endpoint(good.url)]),
      },
    });
    await rig.stored("/ok", { proxyPool: "main" });
    expect(rig.proxyFailures).toEqual(["main", "main"]);
    expect(good.asked.length).toBe(1);
  });

  test("until every one has failed", async () => {
    await using locked = await startForwardProxy({ credentials: SECRET });
    const dead = deadProxy();
    await using rig = await startRig({
      pools: {
        main: pool([endpoint(dead, SECRET)], "spare"),
        spare: pool([endpoint(locked.url, "proxy-user:proxy-secret-2")], "main"),
      },
    });
    const { failure, attempt } = await rig.failed("/ok", { proxyPool: "main" });
    expect(failure).toMatchObject({ code: "PROXY_EXHAUSTED", class: "transient" });
    expect(attempt).toMatchObject({ code: "PROXY_EXHAUSTED", proxy: locked.url, bytes: 0 });
    expect(JSON.stringify([failure, failure.message, attempt])).not.toMatch(/proxy-secret|Basic/);
    expect(rig.proxyFailures).toEqual(["main", "spare"]);
    expect(rig.origin.connections.total).toBe(0);
    expect(await rig.files()).toEqual([]);
  });
});

describe("an answer of the host is no failure of the proxy", () => {
  test.each(["/status/500", "/status/404", "/garbage", "/short/1"])("%s", async (path) => {
    await using proxy = await startForwardProxy();
    await using other = await startForwardProxy();
    await using rig = await startRig({ pools: { main: pool([endpoint(proxy.url), endpoint(other.url)]) } });
    await rig.failed(path, { proxyPool: "main" });
    expect(rig.proxyFailures).toEqual([]);
    expect([proxy.asked.length, other.asked.length]).toEqual([1, 0]);
  });
});

test("a 407 of the host itself, without a proxy, is the host's", async () => {
  await using rig = await startRig();
  expect((await rig.failed("/status/407")).failure.code).toBe("DOWNLOAD_HTTP_407");
});

test("a silent proxy has the same time as a silent host", async () => {
  using silent = startFaultOrigin({ "": MISBEHAVIOURS.silent }); // an absolute form begins with no path;
  await using rig = await startRig({ pools: { main: pool([endpoint(silent.url)]) } });
  const run = rig.failed("/ok", { proxyPool: "main" });
  await silent.requested(1);
  await rig.clock.advance(40_000);
  expect((await run).failure.code).toBe("DOWNLOAD_TIMEOUT");
  await silent.idle();
});
