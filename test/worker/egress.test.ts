import { describe, expect, test } from "bun:test";
import { createEgressPolicy } from "../../src/jobs/egress-policy.ts";
import { Failure } from "../../src/jobs/failure.ts";
import { createAddresses } from "../../src/worker/addresses.ts";
import { FakeClock } from "../support/clock.ts";
import { startRig } from "../support/download-rig.ts";
import { startFaultOrigin } from "../support/fault-origin.ts";
import { MISBEHAVIOURS } from "../support/misbehaviours.ts";
import { failureOf, rejectionOf } from "../support/rejection.ts";

const never = new AbortController().signal;
/** Of the loopback addresses, one is open: what lies behind the others must not be reached. */
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

  test("none is tried after an answer, however bad", async () => {
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

describe("names", () => {
  const open = createEgressPolicy({ allowPrivate: ["0.0.0.0/0"] });
  function setup(lookup: (name: string) => Promise<readonly string[]>) {
    const clock = new FakeClock();
    const asked: string[] = [];
    const addresses = createAddresses({
      policy: open,
      lookup: (name) => {
        asked.push(name);
        return lookup(name);
      },
      clock,
    });
    return { clock, asked, resolve: (url: string, signal = never) => addresses(new URL(url), signal) };
  }
  const failing = (code: string) => () => Promise.reject(Object.assign(new Error(code), { code }));

  test.each([
    ["ENOTFOUND", "DOWNLOAD_DNS_NOT_FOUND"],
    ["ENODATA", "DOWNLOAD_DNS_NOT_FOUND"],
    ["EAI_AGAIN", "DOWNLOAD_DNS_TEMPORARY"],
    ["ESERVFAIL", "DOWNLOAD_DNS_TEMPORARY"],
    ["ETIMEOUT", "DOWNLOAD_DNS_TEMPORARY"],
  ])("%s is %s", async (code, failureCode) => {
    const failure = await failureOf(setup(failing(code)).resolve("http://a.test/"));
    expect(failure.code as string).toBe(failureCode);
    expect(failure.message).toContain("a.test");
  });

  test("no address is no such name", async () => {
    expect((await failureOf(setup(() => Promise.resolve([])).resolve("http://a.test/"))).code).toBe(
      "DOWNLOAD_DNS_NOT_FOUND",
    );
  });

  test("are asked for once in 30 s, by however many at a time", async () => {
    const { clock, asked, resolve } = setup(() => Promise.resolve(["192.0.2.1"]));
    await Promise.all([resolve("http://a.test/"), resolve("http://a.test:8080/x"), resolve("https://b.test/")]);
    expect(asked).toEqual(["a.test", "b.test"]);
    await clock.advance(29_999);
    await resolve("http://a.test/");
    expect(asked.length).toBe(2);
    await clock.advance(1);
    await resolve("http://a.test/");
    expect(asked.length).toBe(3);
  });

  test("that failed are asked for again", async () => {
    const { asked, resolve } = setup(failing("EAI_AGAIN"));
    for (let i = 0; i < 3; i++) await failureOf(resolve("http://a.test/"));
    expect(asked.length).toBe(3);
  });

  test("are judged each time, for the port that is asked for", async () => {
    const clock = new FakeClock();
    const judged: string[] = [];
    const addresses = createAddresses({
      policy: {
        denies: (ip, port) => {
          judged.push(`${ip} ${port}`);
          return port === 8080 ? "own" : undefined;
        },
      },
      lookup: () => Promise.resolve(["192.0.2.1"]),
      clock,
    });
    for (const url of ["http://a.test/", "https://a.test/"]) await addresses(new URL(url), never);
    expect((await failureOf(addresses(new URL("http://a.test:8080/"), never))).code).toBe("DOWNLOAD_URL_NOT_ALLOWED");
    expect(judged).toEqual(["192.0.2.1 80", "192.0.2.1 443", "192.0.2.1 8080"]);
  });

  test("that take for ever are not waited for once we stop", async () => {
    const { resolve } = setup(() => new Promise(() => {}));
    const stop = new AbortController();
    const resolved = rejectionOf(resolve("http://a.test/", stop.signal));
    const reason = new Failure("DOWNLOAD_TIMEOUT", "over");
    stop.abort(reason);
    expect(await resolved).toBe(reason);
    expect(await rejectionOf(resolve("http://a.test/", stop.signal))).toBe(reason);
  });

  test("are not asked for where the host is an address", async () => {
    const { asked, resolve } = setup(failing("ENOTFOUND"));
    expect(await resolve("http://192.0.2.7/")).toEqual(["192.0.2.7"]);
    expect(asked).toEqual([]);
  });
});
