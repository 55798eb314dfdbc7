import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runBinary } from "../support/binary.ts";
import { freePort } from "../support/peers.ts";
import { prepareService } from "../support/service.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

setDefaultTimeout(60_000);

const isLinux = process.platform === "linux";
if (!isLinux) console.log("the environment of the process that works is not tested: only Linux shows it");

test.skipIf(!isLinux)("variables by which Bun runs other code do not reach the process that works", async () => {
  const folder = makeTemporaryFolder("preload");
  const preload = join(folder, "preload.js");
  writeFileSync(preload, `require("node:fs").appendFileSync(${JSON.stringify(join(folder, "ran"))}, "x");`);
  const port = await freePort();
  const env = { BUN_INSPECT: `ws://127.0.0.1:${port}/debug`, BUN_OPTIONS: `--preload ${preload}` };
  await using service = await prepareService({ env });
  await service.start();
  const inherited = readFileSync(`/proc/${service.pid}/environ`, "utf8").split("\0");
  expect(inherited.filter((each) => /^BUN_(?:BE_BUN|OPTIONS|INSPECT)/.test(each))).toEqual([]);
  expect(fetch(`http://127.0.0.1:${port}/json/version`)).rejects.toThrow();
  // Before the program begins nothing can keep it from running; but not again in what works.
  expect(readFileSync(join(folder, "ran"), "utf8")).toBe("x");
});

test("config check says whose code it runs", async () => {
  await using service = await prepareService({
    toml: '[handlers.own]\nhandler = "own.ts"\n',
    files: { "own.ts": "console.log('it runs');\nexport default { prepare: (m) => m, *buildTasks() {} };" },
  });
  const { code, stdout, stderr } = await runBinary(["config", "check"], { cwd: service.folder, env: service.env });
  expect(code).toBe(0);
  const note = `note: [handlers.own] runs the code of ${service.folder}/own.ts, as a start does\n`;
  expect(stdout).toStartWith(`${note}the configuration is valid\n`);
  expect(stderr).toContain("it runs");
  await using plain = await prepareService();
  const quiet = await runBinary(["config", "check"], { cwd: plain.folder, env: plain.env });
  expect(quiet.stdout).toStartWith("the configuration is valid\n");
  for (const command of [
    ["config", "check", "--help"],
    ["handlers", "check", "--help"],
  ]) {
    const help = await runBinary(command, { cwd: plain.folder });
    expect(help.stdout.replaceAll(/\s+/g, " ")).toMatch(/runs? (?:the code of their files|a handler's code)/);
  }
});
