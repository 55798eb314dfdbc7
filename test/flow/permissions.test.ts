import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Ended, runBinary } from "../support/binary.ts";
import { prepareService, type Service, startService } from "../support/service.ts";

setDefaultTimeout(60_000);

/** Root may write everywhere; without its capabilities it is held to the modes of files, as everybody is. */
const AS_EVERYBODY = process.getuid?.() === 0 ? ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] : [];
const isBound =
  AS_EVERYBODY.length === 0 || Bun.spawnSync([...AS_EVERYBODY, "true"], { stderr: "ignore" }).exitCode === 0;
if (!isBound) console.warn("the tests of what a user may not do are left out: setpriv cannot drop root's capabilities");

const closed: string[] = [];
afterAll(() => closed.forEach((path) => existsSync(path) && chmodSync(path, 0o700)));

function close(path: string, mode: number): void {
  chmodSync(path, mode);
  closed.push(path);
}

function command(service: Service, ...args: string[]): Promise<Ended> {
  return runBinary(args, { cwd: service.folder, env: service.env, through: AS_EVERYBODY });
}

/** One message for people, and no stack. */
function expectMessage({ code, stdout, stderr }: Ended, expected: number, ...texts: string[]): void {
  expect({ code, stdout }).toEqual({ code: expected, stdout: "" });
  expect(stderr).toMatch(/^fetchbox: [^\n]+\n$/);
  for (const text of texts) expect(stderr).toContain(text);
  expect(stderr).not.toContain("damaged");
}

describe.if(isBound)("what the user may not use is told in a line", () => {
  test("a working folder that takes no stores: exit 2, for nothing is damaged", async () => {
    await using service = await prepareService();
    close(service.folder, 0o555);
    expectMessage(await command(service, "serve"), 2, "this user may not use it", "EACCES", "data/queue");
    chmodSync(service.folder, 0o755);
  });

  test("stores that may only be read: a start ends with 2, verify and backup work", async () => {
    await using service = await startService();
    await service.stop();
    const queue = join(service.folder, "data/queue");
    const files = readdirSync(queue).map((name) => join(queue, name));
    for (const path of files) close(path, 0o444);
    expectMessage(await command(service, "serve"), 2, queue, "this user may not use it");
    expect((await command(service, "verify")).code).toBe(0);
    expect((await command(service, "backup", "copy")).code).toBe(0);
    for (const path of files) chmodSync(path, 0o600);
  });

  test("stores that may not be read at all are not called missing", async () => {
    await using service = await startService();
    await service.stop();
    const dlq = join(service.folder, "data/dlq");
    close(dlq, 0);
    for (const args of [["serve"], ["verify"], ["backup", "copy"]]) {
      expectMessage(await command(service, ...args), 2, dlq, "this user may not use it");
    }
    chmodSync(dlq, 0o700);
    close(join(dlq, "dlq.db"), 0);
    expectMessage(await command(service, "verify"), 2, `${dlq}/dlq.db: cannot be read`);
    chmodSync(join(dlq, "dlq.db"), 0o600);
  });

  test("a folder in which no directory can be made: exit 2, and no file is left", async () => {
    await using service = await startService();
    const folder = join(service.folder, "closed");
    mkdirSync(folder);
    close(folder, 0o555);
    expectMessage(await command(service, "backup", "closed/copy"), 2, `cannot make a directory in ${folder}`, "EACCES");
    expectMessage(await command(service, "backup", "closed/new/copy"), 2, "cannot make a directory in");
    chmodSync(folder, 0o755);
    expect(readdirSync(folder)).toEqual([]);
  });
});

test("a backup that is to stand where a file is, or below one, ends with 2", async () => {
  await using service = await startService();
  writeFileSync(join(service.folder, "file"), "mine");
  expectMessage(await command(service, "backup", "file"), 2, "file already exists and is not a directory");
  expectMessage(await command(service, "backup", "file/copy"), 2, "/file/copy is a file; name another directory");
  expectMessage(await command(service, "backup", "/proc/copy"), 1, "cannot make a directory in /proc");
});
