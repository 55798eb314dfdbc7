import { describe, expect, test } from "bun:test";
import { createEgressPolicy, listensOn } from "../../src/net/egress-policy.ts";
import { corpusLines } from "../support/corpus.ts";

const closed = createEgressPolicy({ allowPrivate: [] });

describe("what is not global unicast is denied, and says why", () => {
  test.each([
    ["0.0.0.0", "this network"],
    ["10.255.255.255", "private use"],
    ["100.100.100.200", "shared address space"],
    ["127.0.0.1", "loopback"],
    ["169.254.169.254", "instance metadata"],
    ["169.254.0.1", "link local"],
    ["168.63.129.16", "instance metadata"],
    ["172.16.0.0", "private use"],
    ["172.31.255.255", "private use"],
    ["192.0.0.192", "IETF protocol assignments"],
    ["192.168.1.1", "private use"],
    ["198.19.255.255", "benchmarking"],
    ["224.0.0.1", "multicast"],
    ["239.255.255.255", "multicast"],
    ["255.255.255.255", "reserved"],
    ["::", "unspecified"],
    ["::1", "loopback"],
    ["fd00:ec2::254", "instance metadata"],
    ["fc00::1", "unique local"],
    ["fe80::1", "link local"],
    ["fec0::1", "not global unicast"],
    ["ff02::1", "multicast"],
    ["4000::1", "not global unicast"],
    ["2001:db8::1", "documentation"],
    // Forms that carry an IPv4 address.
    ["::ffff:127.0.0.1", "loopback"],
    ["::ffff:7f00:1", "loopback"],
    ["0:0:0:0:0:ffff:a9fe:a9fe", "instance metadata"],
    ["64:ff9b::10.0.0.1", "private use"],
    ["64:ff9b::a9fe:a9fe", "instance metadata"],
    ["64:ff9b:1::8.8.8.8", "local NAT64"],
    ["::127.0.0.1", "not global unicast"],
    ["::8.8.8.8", "not global unicast"],
    ["::ffff:0:8.8.8.8", "not global unicast"],
    ["2002:7f00:1::", "6to4"],
    ["2002:808:808::1", "6to4"],
    ["2001:0:7f00:1::", "IETF protocol assignments, Teredo among them"],
  ])("%s: %s", (ip, reason) => {
    expect(closed.denies(ip)).toBe(`${reason}, which egress.allow_private can open`);
  });

  test.each([
    ["1.1.1.1"],
    ["8.8.8.8"],
    ["9.255.255.255"],
    ["11.0.0.0"],
    ["100.63.255.255"],
    ["100.128.0.0"],
    ["126.255.255.255"],
    ["128.0.0.0"],
    ["169.253.255.255"],
    ["172.15.255.255"],
    ["172.32.0.0"],
    ["192.0.1.0"],
    ["198.17.255.255"],
    ["198.20.0.0"],
    ["223.255.255.255"],
    ["2606:4700:4700::1111"],
    ["2001:4860:4860::8888"],
    ["2001:200::1"],
    ["3ffe:ffff::"],
    ["::ffff:8.8.8.8"],
    ["64:ff9b::8.8.8.8"],
  ])("%s is open", (ip) => {
    expect(closed.denies(ip)).toBeUndefined();
  });

  test.each([
    [""],
    ["localhost"],
    ["127.1"],
    ["2130706433"],
    ["0x7f.0.0.1"],
    ["010.0.0.1"],
    ["8.8.8.8 "],
    ["8.8.8.8:80"],
    ["[::1]"],
    ["2606:4700::1%eth0"],
    ["2606:4700::1111::"],
    ["8.8.8.8/32"],
  ])("%j is no address, and denied", (text) => {
    expect(closed.denies(text)).toBe("not an IP address");
  });
});

test("every block that the IANA registries do not call globally reachable is denied, from its first to its last address", async () => {
  const rows = [
    ...(await corpusLines("ip-ranges/iana-ipv4-special-registry.csv")),
    ...(await corpusLines("ip-ranges/iana-ipv6-special-registry.csv")),
  ].filter((row) => /\/\d+,/.test(row));
  for (const row of rows) {
    const [block = ""] = row.split(",", 1);
    // These two are judged by the IPv4 address inside, each of which has its own row.
    if (row.endsWith(",True") || block === "::ffff:0:0/96" || block === "64:ff9b::/96") continue;
    for (const address of endsOf(block)) expect([row, address, closed.denies(address)]).not.toContain(undefined);
  }
  for (const block of await corpusLines("ip-ranges/antissrf-recommendedV1.txt")) {
    // Globally reachable by the registry: AS112 and AMT anycast; and NAT64, see above.
    if (
      ["192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24", "2620:4f:8000::/48", "64:ff9b::/96"].includes(block)
    ) {
      continue;
    }
    for (const address of endsOf(block)) expect([block, address, closed.denies(address)]).not.toContain(undefined);
  }
});

/** First and last address of a block, worked out on text, apart from the code under test. */
function endsOf(block: string): string[] {
  const [start = "", length = ""] = block.split("/");
  const width = start.includes(":") ? 16 : 8;
  const groups = start.includes(":") ? expand(start) : start.split(".").map(Number);
  const last = groups.map((group, at) => {
    const fixed = Math.min(width, Math.max(0, Number(length) - at * width));
    return group | (2 ** (width - fixed) - 1);
  });
  const write = (parts: number[]) => (width === 8 ? parts.join(".") : parts.map((part) => part.toString(16)).join(":"));
  return [write(groups), write(last)];
}

function expand(ip: string): number[] {
  const [head = "", tail = ""] = ip.split("::");
  const read = (side: string) => (side === "" ? [] : side.split(":").map((group) => Number.parseInt(group, 16)));
  const zeros = [0, 0, 0, 0, 0, 0, 0, 0].slice(read(head).length + read(tail).length);
  return [...read(head), ...zeros, ...read(tail)];
}

describe("allow_private", () => {
  const open = createEgressPolicy({
    allowPrivate: ["10.1.0.0/16", "127.0.0.1/32", "fd00::/8", "::ffff:192.168.0.0/120"],
  });

  test.each([["10.1.2.3"], ["127.0.0.1"], ["::ffff:10.1.2.3"], ["64:ff9b::10.1.2.3"], ["fd12::1"], ["192.168.0.9"]])(
    "opens %s",
    (ip) => expect(open.denies(ip, 80)).toBeUndefined(),
  );

  test.each([["10.2.0.0"], ["127.0.0.2"], ["::ffff:10.2.0.0"], ["64:ff9b::10.2.0.1"], ["fc00::1"], ["192.168.1.0"]])(
    "leaves %s closed",
    (ip) => expect(open.denies(ip, 80)).toBeString(),
  );

  test.each([
    ["10.0.0.0"],
    ["10.0.0.0/33"],
    ["x/8"],
    ["10.0.0.0/"],
    ["10.0.0.0/8/8"],
    ["::/129"],
    ["10.0.0.0/-1"],
    [""],
  ])("refuses %j as no network", (cidr) =>
    expect(() => createEgressPolicy({ allowPrivate: [cidr] })).toThrow("is no network"),
  );

  test("can open everything but what FetchBox listens on", () => {
    const isOwn = listensOn({ host: "127.0.0.1", port: 8080 }, () => []);
    const all = createEgressPolicy({ allowPrivate: ["0.0.0.0/0", "::/0"], isOwn });
    const OWN = "FetchBox itself listens there";
    for (const ip of ["127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0", "::", "64:ff9b::127.0.0.1"]) {
      expect([ip, all.denies(ip, 8080)]).toEqual([ip, OWN]);
      expect([ip, all.denies(ip, 8081)]).toEqual([ip, undefined]);
    }
    expect(all.denies("127.0.0.2", 8080)).toBeUndefined();
    expect(all.deniesLiteral(new URL("http://127.0.0.1:8080/jobs"))).toBe(OWN);
  });
});

test("a server bound to every interface is at each of their addresses and all of loopback", () => {
  const isOwn = listensOn({ host: "0.0.0.0", port: 80 }, () => ["203.0.113.7", "2001:db8::7", "fe80::1%eth0"]);
  const policy = createEgressPolicy({ allowPrivate: ["0.0.0.0/0", "::/0"], isOwn });
  for (const ip of ["203.0.113.7", "2001:db8::7", "127.9.9.9", "::1", "0.0.0.0"]) {
    expect([ip, policy.denies(ip, 80)]).toEqual([ip, "FetchBox itself listens there"]);
  }
  expect(policy.denies("203.0.113.8", 80)).toBeUndefined();
  expect(policy.deniesLiteral(new URL("http://203.0.113.7/"))).toBeString();
  expect(policy.deniesLiteral(new URL("https://203.0.113.7/"))).toBeUndefined();
});

test("a server bound to localhost is at every loopback address", () => {
  const isOwn = listensOn({ host: "localhost", port: 80 }, () => []);
  const policy = createEgressPolicy({ allowPrivate: ["127.0.0.0/8", "::1/128"], isOwn });
  expect(policy.denies("127.0.0.1", 80)).toBeString();
  expect(policy.denies("::1", 80)).toBeString();
  expect(policy.denies("::1", 81)).toBeUndefined();
});

test("a URL is denied by its address in any spelling, and not by its name", () => {
  for (const host of ["127.0.0.1", "0x7f000001", "017700000001", "127.1", "[::1]", "[0:0::ffff:7f00:1]", "①②⑦.⓪.⓪.①"]) {
    expect([host, closed.deniesLiteral(new URL(`http://${host}/`))]).toEqual([
      host,
      "loopback, which egress.allow_private can open",
    ]);
  }
  for (const host of ["localhost", "metadata.google.internal", "127.0.0.1.nip.io", "8.8.8.8", "[2606:4700::1]"]) {
    expect([host, closed.deniesLiteral(new URL(`http://${host}/`))]).toEqual([host, undefined]);
  }
});
