import { describe, expect, test } from "bun:test";
import { createEgressPolicy } from "../../src/net/egress-policy.ts";
import { createAddresses } from "../../src/worker/names/addresses.ts";
import { createResolver } from "../../src/worker/names/names.ts";
import { FakeClock } from "../support/clock.ts";
import { startRig } from "../support/download-rig.ts";
import { startFaultOrigin } from "../support/fault-origin.ts";
import { foundFor } from "../support/found-addresses.ts";
import { MISBEHAVIOURS } from "../support/misbehaviours.ts";
import { failureOf } from "../support/rejection.ts";

/** One of the loopback addresses is open; the others must not be reached. */
const policy = createEgressPolicy({ allowPrivate: ["127.0.0.1/32"] });
const to = (location: string) => `/redirect/302/${encodeURIComponent(location)}`;

describe("a forbidden address is not connected to", () => {
  /** An origin on a forbidden address, and a rig that must not reach it. */
  async function setup(names: Parameters<typeof startRig>[0] = {}) {
    const forbidden = startFaultOrigin(MISBEHAVIOURS, { hostname: "127.0.0.2" });
    const rig = await startRig({ policy, ...names });
    return {
      rig,
      forbidden,
      async [Symbol.asyncDispose]() {
        forbidden[Symbol.dispose]();
        await rig[Symbol.asyncDispose]();
      },
    };
  }

  test("as a literal", async () => {
    await using it = await setup();
    const { failure, attempt } = await it.rig.failed(`http://127.0.0.2:${it.forbidden.port}/ok`);
    expect(failure).toMatchObject({ code: "DOWNLOAD_URL_NOT_ALLOWED", class: "permanent" });
    expect(failure.message).toContain("127.0.0.2: loopback");
    expect(attempt.address).toBeUndefined();
    expect(it.forbidden.connections.total).toBe(0);
  });

  test("in any way of writing it", async () => {
    await using it = await setup();
    for (const host of [
      "0x7f000002",
      "127.2",
      "2130706434",
      "0177.0.0.2",
      "[::ffff:127.0.0.2]",
      "\uff11\uff12\uff17.0.0.2",
    ]) {
      const { failure } = await it.rig.failed(`http://${host}:${it.forbidden.port}/ok`);
      expect(failure.code).toBe("DOWNLOAD_URL_NOT_ALLOWED");
    }
    expect(it.forbidden.connections.total).toBe(0);
  });

  test("behind a name", async () => {
    await using it = await setup({ names: { "inside.test": ["127.0.0.2"] } });
    const { failure } = await it.rig.failed(`http://inside.test:${it.forbidden.port}/ok`);
    expect(failure.code).toBe("DOWNLOAD_URL_NOT_ALLOWED");
    expect(it.forbidden.connections.total).toBe(0);
  });

  test("behind a redirect to it, by address and by name", async () => {
    await using it = await setup({ names: { "inside.test": ["127.0.0.2"] } });
    for (const host of ["127.0.0.2", "inside.test"]) {
      const { failure } = await it.rig.failed(to(`http://${host}:${it.forbidden.port}/ok`));
      expect(failure.code).toBe("DOWNLOAD_URL_NOT_ALLOWED");
    }
    expect(it.rig.origin.requests.length).toBe(2);
    expect(it.forbidden.connections.total).toBe(0);
    expect(await it.rig.files()).toEqual([]);
  });

  test("beside an allowed one of the same name, though that refuses", async () => {
    await using it = await setup({ names: { "both.test": ["127.0.0.2", "127.0.0.1"] } });
    const { failure, attempt } = await it.rig.failed(`http://both.test:${it.forbidden.port}/ok`);
    expect(failure.code).toBe("DOWNLOAD_CONNECT_FAILED");
    expect(attempt.address).toBe("127.0.0.1");
    expect(it.forbidden.connections.total).toBe(0);
  });

  test("when the name's answer changes between the check and the connection", async () => {
    let asked = 0;
    const rebinding = () => (asked++ === 0 ? ["127.0.0.1"] : ["127.0.0.2"]);
    await using it = await setup({ names: { "rebinding.test": rebinding } });
    const url = `http://rebinding.test:${it.rig.origin.port}${to("/ok")}`;
    expect((await it.rig.stored(url)).httpStatus).toBe(200);
    await it.rig.clock.advance(30_000);
    const { failure } = await it.rig.failed(`http://rebinding.test:${it.forbidden.port}/ok`);
    expect(failure.code).toBe("DOWNLOAD_URL_NOT_ALLOWED");
    expect(it.forbidden.connections.total).toBe(0);
  });
});

describe("several addresses", () => {
  test("the next is tried when one refuses", async () => {
    await using rig = await startRig({ names: { "many.test": ["127.0.0.3", "127.0.0.4", "127.0.0.1"] } });
    await rig.stored(`http://many.test:${rig.origin.port}/ok`);
    const { attempt } = await rig.failed(`http://many.test:${rig.origin.port}/status/404`);
    expect(attempt.address).toBe("127.0.0.1");
  });

  test("no other address is tried after an answer, however bad", async () => {
    using second = startFaultOrigin(MISBEHAVIOURS, { hostname: "127.0.0.2" });
    await using rig = await startRig({ names: { "many.test": ["127.0.0.1", "127.0.0.2"] } });
    for (const path of ["/reset-at-once", "/status/500", "/garbage"]) {
      await rig.failed(`http://many.test:${rig.origin.port}${path}`);
    }
    expect(second.connections.total).toBe(0);
  });

  test("all that refuse are a failed connection", async () => {
    await using rig = await startRig({ names: { "many.test": ["127.0.0.3", "127.0.0.4"] } });
    const { failure, attempt } = await rig.failed(`http://many.test:${rig.origin.port}/ok`);
    expect(failure).toMatchObject({ code: "DOWNLOAD_CONNECT_FAILED", class: "transient" });
    expect(attempt).toMatchObject({ address: "127.0.0.4", bytes: 0 });
  });
});

describe("the addresses of a name", () => {
  function setup(denies: (ip: string, port: number) => string | undefined) {
    const asked: string[] = [];
    const lookup = (name: string) => {
      asked.push(name);
      return Promise.resolve(foundFor(60, "192.0.2.1"));
    };
    const resolve = createResolver({ lookup, clock: new FakeClock() });
    const addresses = createAddresses({ policy: { denies }, resolve });
    return { asked, addresses: (url: string) => addresses(new URL(url), new AbortController().signal) };
  }

  test("are judged each time, for the port that is asked for", async () => {
    const judged: string[] = [];
    const { asked, addresses } = setup((ip, port) => {
      judged.push(`${ip} ${port}`);
      return port === 8080 ? "own" : undefined;
    });
    for (const url of ["http://a.test/", "https://a.test/"]) expect(await addresses(url)).toEqual(["192.0.2.1"]);
    expect((await failureOf(addresses("http://a.test:8080/"))).code).toBe("DOWNLOAD_URL_NOT_ALLOWED");
    expect(judged).toEqual(["192.0.2.1 80", "192.0.2.1 443", "192.0.2.1 8080"]);
    expect(asked).toEqual(["a.test"]);
  });

  test("are not asked for where the host is an address", async () => {
    const { asked, addresses } = setup(() => undefined);
    expect(await addresses("http://192.0.2.7/")).toEqual(["192.0.2.7"]);
    expect(await addresses("http://[2001:db8::7]/")).toEqual(["2001:db8::7"]);
    expect(asked).toEqual([]);
  });
});
