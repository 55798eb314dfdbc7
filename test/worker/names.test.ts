import { describe, expect, test } from "bun:test";
import { Failure } from "../../src/jobs/failure.ts";
import { createResolver, type FoundAddress, lookUp } from "../../src/worker/names/names.ts";
import { FakeClock, turn } from "../support/clock.ts";
import { foundFor } from "../support/found-addresses.ts";
import { failureOf, rejectionOf } from "../support/rejection.ts";

const never = new AbortController().signal;
const found = (ttl = 60) => Promise.resolve(foundFor(ttl, "192.0.2.1"));
const silent = () => new Promise<never>(() => {});
const failing = (code: string) => () => Promise.reject(Object.assign(new Error(code), { code }));

function setup(lookup: (name: string) => Promise<readonly FoundAddress[]>, lookupsMax = 64) {
  const clock = new FakeClock();
  const asked: string[] = [];
  const resolve = createResolver({
    lookup: (name) => {
      asked.push(name);
      return lookup(name);
    },
    clock,
    lookupsMax,
  });
  return { clock, asked, resolve: (name: string, signal = never) => resolve(name, signal) };
}

/** A lookup whose answers the test gives by hand. */
function byHand() {
  const open = new Map<string, (addresses: readonly FoundAddress[]) => void>();
  const lookup = (name: string) => new Promise<readonly FoundAddress[]>((resolve) => open.set(name, resolve));
  return { lookup, answer: (name: string, ...addresses: string[]) => open.get(name)?.(foundFor(60, ...addresses)) };
}

describe("a lookup that fails", () => {
  test.each([
    ["DNS_ENOTFOUND", "DOWNLOAD_DNS_NOT_FOUND"],
    ["DNS_ENODATA", "DOWNLOAD_DNS_NOT_FOUND"],
    ["ENOTFOUND", "DOWNLOAD_DNS_NOT_FOUND"],
    ["ENODATA", "DOWNLOAD_DNS_NOT_FOUND"],
    ["DNS_ESERVFAIL", "DOWNLOAD_DNS_TEMPORARY"],
    ["DNS_EREFUSED", "DOWNLOAD_DNS_TEMPORARY"],
    ["DNS_ETIMEOUT", "DOWNLOAD_DNS_TEMPORARY"],
    ["DNS_ECONNREFUSED", "DOWNLOAD_DNS_TEMPORARY"],
    ["EAI_AGAIN", "DOWNLOAD_DNS_TEMPORARY"],
  ])("with %s is %s", async (code, failureCode) => {
    const { clock, resolve } = setup(failing(code));
    const failure = await failureOf(resolve("a.test"));
    expect(failure.code as string).toBe(failureCode);
    expect(failure.message).toContain("a.test");
    expect(failure.message).not.toContain("DNS_");
    expect(clock.pending).toBe(0);
  });

  test("for want of a descriptor is asked again at once", async () => {
    const { asked, resolve } = setup(failing("EMFILE"));
    expect((await failureOf(resolve("a.test"))).code).toBe("DOWNLOAD_DNS_TEMPORARY");
    await failureOf(resolve("a.test"));
    expect(asked).toEqual(["a.test", "a.test"]);
  });

  test("without any code, or by a throw, is temporary", async () => {
    const lookups = [
      () => Promise.reject(new Error("?")),
      () => {
        throw new Error("?");
      },
    ];
    for (const lookup of lookups) {
      expect((await failureOf(setup(lookup).resolve("a.test"))).code).toBe("DOWNLOAD_DNS_TEMPORARY");
    }
  });

  test("with no address is not found", async () => {
    const { resolve } = setup(() => Promise.resolve([]));
    expect((await failureOf(resolve("a.test"))).code).toBe("DOWNLOAD_DNS_NOT_FOUND");
  });

  test.each([
    ["DNS_ENOTFOUND", 5000],
    ["DNS_ESERVFAIL", 2000],
  ])("with %s is remembered for %d ms", async (code, ms) => {
    const { clock, asked, resolve } = setup(failing(code));
    for (let i = 0; i < 100; i++) await failureOf(resolve("a.test"));
    await clock.advance(ms - 1);
    await failureOf(resolve("a.test"));
    expect(asked.length).toBe(1);
    await clock.advance(1);
    await failureOf(resolve("a.test"));
    expect(asked.length).toBe(2);
  });
});

describe("an answer", () => {
  test("is shared by all waiters, and each name is looked up once", async () => {
    const { clock, asked, resolve } = setup(() => found());
    await Promise.all(["a.test", "a.test", "b.test"].map((name) => resolve(name)));
    expect(await resolve("a.test")).toEqual(["192.0.2.1"]);
    expect(asked).toEqual(["a.test", "b.test"]);
    expect(clock.pending).toBe(0);
  });

  test.each([
    [3600, 30_000],
    [7, 7000],
    [0, 1000],
  ])("with a TTL of %d s is kept for %d ms", async (ttl, ms) => {
    const { clock, asked, resolve } = setup(() => found(ttl));
    await resolve("a.test");
    await clock.advance(ms - 1);
    await resolve("a.test");
    expect(asked.length).toBe(1);
    await clock.advance(1);
    await resolve("a.test");
    expect(asked.length).toBe(2);
  });

  test("is kept as long as the shortest of its TTLs", async () => {
    const { clock, asked, resolve } = setup(async () => [...foundFor(20, "192.0.2.1"), ...foundFor(5, "2001:db8::1")]);
    expect(await resolve("a.test")).toEqual(["192.0.2.1", "2001:db8::1"]);
    await clock.advance(5000);
    await resolve("a.test");
    expect(asked.length).toBe(2);
  });

  test("has at most 32 addresses", async () => {
    const many = Array.from({ length: 500 }, (_, i) => `192.0.${i >> 8}.${i & 255}`);
    const { resolve } = setup(() => Promise.resolve(foundFor(60, ...many)));
    expect(await resolve("a.test")).toEqual(many.slice(0, 32));
  });

  test("is forgotten once 10,000 others came", async () => {
    const { asked, resolve } = setup(() => found());
    for (let i = 0; i <= 10_000; i++) await resolve(`${i}.test`);
    await resolve("1.test");
    expect(asked.length).toBe(10_001);
    await resolve("0.test");
    expect(asked.length).toBe(10_002);
  });
});

describe("a lookup that does not return", () => {
  test("fails after 10 s, for all waiters", async () => {
    const { clock, resolve } = setup(silent);
    const first = failureOf(resolve("a.test"));
    await clock.advance(4000);
    const second = failureOf(resolve("a.test"));
    await clock.advance(6000);
    for (const failure of [await first, await second]) {
      expect(failure.code).toBe("DOWNLOAD_DNS_TEMPORARY");
      expect(failure.message).toContain("no answer within 10000 ms");
    }
    expect(clock.pending).toBe(0);
  });

  test("does not keep others from theirs", async () => {
    const { resolve } = setup((name) => (name.startsWith("silent") ? silent() : found()), 9);
    for (let i = 0; i < 8; i++) void rejectionOf(resolve(`silent${i}.test`));
    expect(await resolve("a.test")).toEqual(["192.0.2.1"]);
  });

  test("leaves its place to the queue after 250 ms", async () => {
    const { clock, asked, resolve } = setup((name) => (name === "a.test" ? found() : silent()), 2);
    const silences = [failureOf(resolve("x.test")), failureOf(resolve("y.test"))];
    const third = resolve("a.test");
    await clock.advance(249);
    expect(asked).toEqual(["x.test", "y.test"]);
    await clock.advance(1);
    expect(await third).toEqual(["192.0.2.1"]);
    await clock.advance(9750);
    for (const failure of await Promise.all(silences)) expect(failure.code).toBe("DOWNLOAD_DNS_TEMPORARY");
    expect(clock.pending).toBe(0);
  });

  test("is one of at most 16 for each place", async () => {
    const { clock, asked, resolve } = setup(silent, 2);
    for (let i = 0; i < 32; i += 2) {
      const two = [failureOf(resolve(`${i}.test`)), failureOf(resolve(`${i + 1}.test`))];
      await clock.advance(10_000);
      await Promise.all(two);
    }
    const last = failureOf(resolve("last.test"));
    await clock.advance(10_000);
    expect((await last).code).toBe("DOWNLOAD_DNS_TEMPORARY");
    expect(asked.length).toBe(32);
    expect(clock.pending).toBe(0);
  });

  test("is of use to the next request if its answer comes late", async () => {
    const { lookup, answer } = byHand();
    const { clock, asked, resolve } = setup(lookup);
    const failure = failureOf(resolve("a.test"));
    await clock.advance(10_000);
    await failure;
    answer("a.test", "192.0.2.1");
    await turn();
    expect(await resolve("a.test")).toEqual(["192.0.2.1"]);
    expect(asked.length).toBe(1);
  });
});

describe("at most as many lookups run at once as are allowed", () => {
  test("and further names follow in their order", async () => {
    const { lookup, answer } = byHand();
    const { asked, resolve } = setup(lookup, 2);
    const all = ["a", "b", "c", "d"].map((name) => resolve(name));
    expect(asked).toEqual(["a", "b"]);
    answer("b", "192.0.2.2");
    expect(await all[1]).toEqual(["192.0.2.2"]);
    await turn();
    expect(asked).toEqual(["a", "b", "c"]);
    for (const name of ["a", "c"]) answer(name, "192.0.2.1");
    await turn();
    answer("d", "192.0.2.4");
    expect(await all[3]).toEqual(["192.0.2.4"]);
  });

  test("and the deadline includes the time in the queue", async () => {
    const { clock, asked, resolve } = setup(silent, 1);
    const failures = Array.from({ length: 100 }, (_, i) => failureOf(resolve(`${i}.test`)));
    await clock.advance(10_000);
    for (const { code } of await Promise.all(failures)) expect(code).toBe("DOWNLOAD_DNS_TEMPORARY");
    expect(asked.length).toBe(16);
    expect(clock.pending).toBe(0);
  });

  test("and no more than 10,000 names wait", async () => {
    const { clock, resolve } = setup(silent, 1);
    for (let i = 0; i < 10_000; i++) void rejectionOf(resolve(`${i}.test`));
    expect((await failureOf(resolve("more.test"))).message).toContain("10000 other names are waiting");
    expect(clock.pending).toBe(10_000 + 1);
  });
});

describe("a request that stops", () => {
  const reason = new Failure("DOWNLOAD_TIMEOUT", "over");

  test("ends at once, and no other with it", async () => {
    const { lookup, answer } = byHand();
    const { asked, resolve } = setup(lookup);
    const stop = new AbortController();
    const [mine, other] = [rejectionOf(resolve("a.test", stop.signal)), resolve("a.test")];
    stop.abort(reason);
    expect(await mine).toBe(reason);
    answer("a.test", "192.0.2.1");
    expect(await other).toEqual(["192.0.2.1"]);
    expect(await rejectionOf(resolve("a.test", stop.signal))).toBe(reason);
    expect(asked.length).toBe(1);
  });

  test("leaves the queue and its place without another waiter", async () => {
    const { clock, asked, resolve } = setup(silent, 1);
    const stops = [new AbortController(), new AbortController()];
    const ended = stops.map((stop, i) => rejectionOf(resolve(`${i}.test`, stop.signal)));
    for (const stop of stops.toReversed()) stop.abort(reason);
    expect(await Promise.all(ended)).toEqual([reason, reason]);
    expect([asked, clock.pending]).toEqual([["0.test"], 0]);
    void rejectionOf(resolve("2.test"));
    expect(asked).toEqual(["0.test", "2.test"]);
  });
});

describe("the system's lookup", () => {
  test("reads /etc/hosts", async () => {
    expect((await lookUp("localhost")).map(({ address }) => address)).toContain("127.0.0.1");
  });

  test.each(["a..b", `${"a".repeat(64)}.test`, `${"a".repeat(60)}.`.repeat(6)])(
    "knows no address of %s",
    async (name) => {
      expect(await lookUp(name)).toEqual([]);
    },
  );
});
