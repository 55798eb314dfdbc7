import { expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HostsFile } from "../../src/worker/names/hosts-file.ts";
import { FakeClock } from "../support/clock.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

function setup(text: string) {
  const path = join(makeTemporaryFolder("hosts"), "hosts");
  writeFileSync(path, text);
  const clock = new FakeClock();
  return { path, clock, hosts: new HostsFile(path, clock) };
}

test("a name has all its addresses, in the file's order, whatever stands beside them", () => {
  const { hosts } = setup(
    "127.0.0.1 localhost\n::1 two.test # c\n127.0.0.1\ttwo.test  Other.TEST\n::1 two.test two.test\n",
  );
  expect(hosts.addressesOf("two.test")).toEqual(["::1", "127.0.0.1"]);
  expect(hosts.addressesOf("TWO.test.")).toEqual(["::1", "127.0.0.1"]);
  expect(hosts.addressesOf("other.test")).toEqual(["127.0.0.1"]);
  expect(hosts.addressesOf("three.test")).toBeUndefined();
});

test("a line without an address and a name is ignored", () => {
  const { hosts } = setup("nonsense a.test\n# 127.0.0.1 b.test\n\n 127.0.0.2 c.test\r\n300.1.1.1 d.test\n");
  expect(["a.test", "b.test", "c.test", "d.test"].map((name) => hosts.addressesOf(name))).toEqual([
    undefined,
    undefined,
    ["127.0.0.2"],
    undefined,
  ]);
});

test("a change is seen within a second, and a file that goes has no names", async () => {
  const { hosts, path, clock } = setup("127.0.0.2 a.test\n");
  expect(hosts.addressesOf("a.test")).toEqual(["127.0.0.2"]);
  writeFileSync(path, "127.0.0.33 a.test\n");
  expect(hosts.addressesOf("a.test")).toEqual(["127.0.0.2"]);
  await clock.advance(1000);
  expect(hosts.addressesOf("a.test")).toEqual(["127.0.0.33"]);
  rmSync(path);
  await clock.advance(1000);
  expect(hosts.addressesOf("a.test")).toBeUndefined();
});
