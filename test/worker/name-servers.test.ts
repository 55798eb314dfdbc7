import { expect, test } from "bun:test";
import { followNameServers } from "../../src/worker/names/name-servers.ts";
import { FakeClock } from "../support/clock.ts";
import { foundFor } from "../support/found-addresses.ts";
import { rejectionOf } from "../support/rejection.ts";

/** Name servers of which 192.0.2.53 alone answers. */
function setup(file: string) {
  const clock = new FakeClock();
  const state = { file, servers: ["192.0.2.1"], reads: 0, lookups: 0 };
  const lookup = () => {
    state.lookups++;
    return state.servers.includes("192.0.2.53")
      ? Promise.resolve(foundFor(60, "198.51.100.1"))
      : Promise.reject(new Error("ECONNREFUSED"));
  };
  const following = followNameServers(lookup, {
    read: () => {
      state.reads++;
      return Promise.resolve(state.file);
    },
    current: () => state.servers,
    apply: (servers) => {
      state.servers = [...servers];
    },
    clock,
  });
  return { clock, state, lookUp: () => following("a.test") };
}

test("a lookup that fails is made again with other servers, if the file names others by now", async () => {
  const { state, lookUp } = setup("# comment\nsearch a.test\n nameserver 192.0.2.53 # x\nnameserver fe80::1%eth0\n");
  expect(await lookUp()).toEqual(foundFor(60, "198.51.100.1"));
  expect(state).toMatchObject({ servers: ["192.0.2.53", "fe80::1"], reads: 1, lookups: 2 });
  await lookUp();
  expect(state).toMatchObject({ reads: 1, lookups: 3 });
});

test.each(["", "nameserver 192.0.2.1\n", "nameserver\nnameserver localhost\n#nameserver 192.0.2.53\n"])(
  "the servers stay where the file is %j, which is read once in 5 s",
  async (file) => {
    const { clock, state, lookUp } = setup(file);
    for (let i = 0; i < 3; i++) await rejectionOf(lookUp());
    expect(state).toMatchObject({ servers: ["192.0.2.1"], reads: 1, lookups: 3 });
    await clock.advance(5000);
    await rejectionOf(lookUp());
    expect(state).toMatchObject({ reads: 2, lookups: 4 });
  },
);
