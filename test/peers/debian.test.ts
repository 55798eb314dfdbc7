import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { unpackDebian } from "../support/debian.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

setDefaultTimeout(120_000);

const cache = makeTemporaryFolder("debian");
const before = process.env["FETCHBOX_TEST_CACHE"];
process.env["FETCHBOX_TEST_CACHE"] = cache;
afterAll(() => {
  if (before === undefined) delete process.env["FETCHBOX_TEST_CACHE"];
  else process.env["FETCHBOX_TEST_CACHE"] = before;
});

// Every Debian has installed both: bzip2's library is a part of dpkg.
const unpacked = unpackDebian("bzip2", ["bzip2"]);
if ("reason" in unpacked) console.warn(`the test of Debian's packages is left out: ${unpacked.reason}`);

test.if(!("reason" in unpacked))(
  "a package comes with what the machine has installed already, but for its libc",
  () => {
    const root = "root" in unpacked ? unpacked.root : "";
    const files = readdirSync(root, { recursive: true }).map(String);
    expect(existsSync(join(root, "bin/bzip2")) || existsSync(join(root, "usr/bin/bzip2"))).toBe(true);
    expect(files.some((file) => file.endsWith("/libbz2.so.1.0"))).toBe(true);
    expect(files.filter((file) => file.endsWith("/libc.so.6"))).toEqual([]);
    expect(readdirSync(cache)).toEqual(["bzip2-whole"]);
  },
);
