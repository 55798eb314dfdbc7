import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createEgressPolicy } from "../../src/net/egress-policy.ts";
import { parseNetwork } from "../../src/net/ip-address.ts";
import { corpusLines } from "../support/corpus.ts";
import { DownloadRig, type RigOptions } from "../support/download-rig.ts";
import { startFaultOrigin } from "../support/fault-origin.ts";
import { type ForwardProxy, startForwardProxy } from "../support/forward-proxy.ts";
import { makeLocalHarness } from "../support/local-objects.ts";
import { MISBEHAVIOURS } from "../support/misbehaviours.ts";
import { proxyServer } from "../support/proxy-server.ts";

/**
 * Public lists of URLs and addresses that a server must not be talked into asking for, each as the URL of a resource,
 * as the target of a redirect and as what a name resolves to, straight and through a proxy. One loopback address is
 * open; connections to the others are counted, and there must be none.
 */

setDefaultTimeout(60_000);

const OPEN = "127.0.0.9";
const policy = createEgressPolicy({ allowPrivate: [`${OPEN}/32`] });
const everywhere = createEgressPolicy({ allowPrivate: [] });
/** The addresses of the lists that can be bound here. */
const PORTS = [80, 22, 25, 443, 2375, 2379, 3306, 5000, 8000, 8080, 8443];

/** Listeners on every address of this machine but the open one's; the ports that are taken are somebody else's. */
class Forbidden implements Disposable {
  connections = 0;
  readonly #listeners: { stop(force: boolean): void }[] = [];

  constructor() {
    for (const port of PORTS) {
      for (const hostname of ["127.0.0.1", "::1"]) {
        try {
          this.#listeners.push(
            Bun.listen({ hostname, port, socket: { open: () => void this.connections++, data: () => {} } }),
          );
        } catch {
          // Taken, or not ours to take.
        }
      }
    }
  }

  [Symbol.dispose](): void {
    for (const listener of this.#listeners) listener.stop(true);
  }
}

async function startRig(options: RigOptions = {}): Promise<DownloadRig> {
  const origin = startFaultOrigin(MISBEHAVIOURS, { hostname: OPEN });
  // The names of the lists lead to a forbidden address: no name server is asked for them.
  return new DownloadRig(origin, await makeLocalHarness(), { policy, ...options });
}

/** URLs of a list that a manifest may have. */
async function urlsOf(file: string): Promise<string[]> {
  return (await corpusLines(file)).filter((line) => {
    const url = URL.parse(line);
    return url !== null && /^https?:$/.test(url.protocol) && !isOutside(url);
  });
}

/** An address of the outside world, which is allowed: tests stay on this machine. */
function isOutside(url: URL): boolean {
  return /^(?:\[.*\]|[\d.]+)$/.test(url.hostname) && everywhere.deniesLiteral(url) === undefined;
}

/** The first, a middle and the last address of every block of a list. */
async function addressesOf(file: string): Promise<string[]> {
  const blocks = (await corpusLines(file)).flatMap((line) => /^"?([0-9a-f.:]+\/\d+)/i.exec(line)?.[1] ?? []);
  return blocks.flatMap((block) => {
    const { family, ...ends } = parseNetwork(block); // of a mapped block, the IPv4 one
    const [first, last] = [BigInt(ends.first), BigInt(ends.last)];
    return [first, (first + last + 1n) / 2n, last].map((bits) => written(family, bits));
  });
}

function written(family: 4 | 6, bits: bigint): string {
  const groups = Array.from({ length: family === 4 ? 4 : 8 }, (_, i) => i).toReversed();
  if (family === 4) return groups.map((i) => (bits >> BigInt(8 * i)) & 255n).join(".");
  return groups.map((i) => ((bits >> BigInt(16 * i)) & 0xffffn).toString(16)).join(":");
}

const redirectTo = (target: string) => `/redirect/302/${encodeURIComponent(target)}`;

for (const way of ["straight", "through a proxy"] as const) {
  describe(`a download ${way} reaches no forbidden address`, () => {
    let forbidden: Forbidden;
    let proxy: ForwardProxy;
    let rig: DownloadRig;
    let answer: readonly string[] = ["127.0.0.1"];
    const task = way === "straight" ? {} : { proxyPool: "main" };

    beforeAll(async () => {
      forbidden = new Forbidden();
      proxy = await startForwardProxy();
      const pools = { main: { endpoints: [proxyServer(proxy.url)], fallbacks: [] } };
      rig = await startRig({ pools, names: { "any.test": () => answer } });
    });
    afterAll(async () => {
      await rig[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
      forbidden[Symbol.dispose]();
    });

    test("by a URL of the list, first or as a redirect's target", async () => {
      const urls = await urlsOf("payloads-all-the-things/ssrf-urls.txt");
      for (const url of urls) {
        const redirect = rig.url(redirectTo(url), OPEN);
        // Some of them are no more than a path where they are a redirect's.
        const isElsewhere = URL.parse(url, redirect)?.hostname !== OPEN;
        for (const target of isElsewhere ? [url, redirect] : [url]) {
          const { failure, attempt } = await rig.failed(target, task);
          expect([target, failure.code]).toEqual([target, "DOWNLOAD_URL_NOT_ALLOWED"]);
          if (target === url) expect(attempt.address).toBeUndefined();
        }
      }
      expect(forbidden.connections).toBe(0);
      expect(proxy.asked.filter((line) => !line.includes(OPEN))).toEqual([]);
    });

    test("by whatever a redirect may be written like", async () => {
      for (const line of await corpusLines("payloads-all-the-things/open-redirect.txt")) {
        const url = rig.url(redirectTo(line), OPEN);
        const target = URL.parse(line, url);
        if (target === null || !isOutside(target)) await rig.run(url, task);
      }
      expect(forbidden.connections).toBe(0);
      expect(proxy.asked.filter((line) => !line.includes(OPEN))).toEqual([]);
    });

    test.each([
      "ip-ranges/antissrf-recommendedV1.txt",
      "ip-ranges/iana-ipv4-special-registry.csv",
      "ip-ranges/iana-ipv6-special-registry.csv",
    ])("by an address of %s, written or as a name's, unless the registry calls it global", async (file) => {
      for (const address of (await addressesOf(file)).filter((each) => everywhere.denies(each) !== undefined)) {
        answer = [address];
        const literal = address.includes(":") ? `[${address}]` : address;
        rig.clock.tick(60_000); // names are looked up anew
        for (const host of [literal, "any.test"]) {
          for (const target of [`http://${host}/`, rig.url(redirectTo(`http://${host}/`), OPEN)]) {
            const { failure } = await rig.failed(target, task);
            expect([address, target, failure.code]).toEqual([address, target, "DOWNLOAD_URL_NOT_ALLOWED"]);
          }
        }
      }
      expect(forbidden.connections).toBe(0);
      expect(proxy.asked.filter((line) => !line.includes(OPEN))).toEqual([]);
    });
  });
}

test("a line break in a URL or in a redirect ends no line", async () => {
  await using rig = await startRig();
  for (const line of await corpusLines("payloads-all-the-things/crlf-injection.txt")) {
    for (const target of [rig.url(line, OPEN), rig.url(redirectTo(line), OPEN)]) await rig.run(target);
  }
  for (const { headers } of rig.origin.requests) {
    expect(headers.map(([name]) => name.toLowerCase()).toSorted()).toEqual([
      "accept",
      "accept-encoding",
      "host",
      "traceparent",
      "user-agent",
    ]);
  }
});
