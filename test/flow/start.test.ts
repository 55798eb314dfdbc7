import { Database } from "bun:sqlite";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, readdirSync, readFileSync, statSync, truncateSync, unlinkSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { BINARY, runBinary, VERSION_LINE } from "../support/binary.ts";
import { eventually } from "../support/eventually.ts";
import { startOrigin } from "../support/origin.ts";
import { prepareService, type Service, settingsEnv, startService } from "../support/service.ts";

setDefaultTimeout(60_000);

const STORES = ["data/queue/queue.db", "data/ledger/ledger.db", "data/dlq/dlq.db"];
const BUCKET = "fetchbox-artifacts";

/** A service that has done a job of 200 failures, was stopped in good order, and has no events left to tell again. */
async function usedService(): Promise<Service> {
  await using origin = await startOrigin();
  const service = await startService();
  const resources = Array.from({ length: 200 }, (_, index) => ({ id: `r${index}`, url: `${origin.url}/${index}` }));
  await service.finished(await service.submit({ manifest_version: "v1", resources }));
  await eventually("nothing is kept to be told again", () => (hasOutbox(service.folder) ? undefined : true));
  await service.stop();
  return service;
}

/** While events are kept, a store that is lost is made anew from them, and that is right. */
function hasOutbox(folder: string): boolean {
  const db = new Database(join(folder, "data/queue/queue.db"), { readonly: true });
  try {
    return db.query("SELECT 1 FROM outbox").get() !== null;
  } finally {
    db.close();
  }
}

function contents(folder: string): Record<string, string> {
  return Object.fromEntries(
    STORES.filter((store) => statSync(join(folder, store), { throwIfNoEntry: false }) !== undefined).map((store) => [
      store,
      Bun.hash(readFileSync(join(folder, store))).toString(),
    ]),
  );
}

/** Overwrites the middle of a file, page by page, but for the first one. */
function scribble(file: string): void {
  const bytes = readFileSync(file);
  bytes.fill(0xa5, 4096);
  writeFileSync(file, bytes);
}

const DAMAGES: readonly (readonly [string, (folder: string) => string])[] = [
  ...STORES.map((store): readonly [string, (folder: string) => string] => [
    `${store} is no database any more`,
    (folder) => {
      writeFileSync(join(folder, store), "this is no database");
      return store;
    },
  ]),
  ...STORES.map((store): readonly [string, (folder: string) => string] => [
    `${store} has lost its pages`,
    (folder) => {
      scribble(join(folder, store));
      return store;
    },
  ]),
  [
    "queue.db is cut short",
    (folder) => {
      const file = join(folder, "data/queue/queue.db");
      truncateSync(file, Math.floor(statSync(file).size / 2 / 4096) * 4096);
      return "data/queue/queue.db";
    },
  ],
  [
    "queue.db is empty",
    (folder) => {
      truncateSync(join(folder, "data/queue/queue.db"), 0);
      return "data/queue/queue.db";
    },
  ],
  ...STORES.map((store): readonly [string, (folder: string) => string] => [
    `${store} is gone`,
    (folder) => {
      unlinkSync(join(folder, store));
      return store;
    },
  ]),
  [
    "ledger.db is another installation's",
    (folder) => {
      const db = new Database(join(folder, "data/ledger/ledger.db"));
      db.run("UPDATE meta SET value = '01a20bc9-0000-7000-8000-000000000000' WHERE name = 'installation'");
      db.close();
      return "data/ledger/ledger.db";
    },
  ],
  [
    "dlq.db is from a newer version",
    (folder) => {
      const db = new Database(join(folder, "data/dlq/dlq.db"));
      db.run("PRAGMA user_version = 999");
      db.close();
      return "data/dlq/dlq.db";
    },
  ],
];

describe("a service does not start where", () => {
  for (const [name, damage] of DAMAGES) {
    test(`${name}: exit 3, the file is named, no store is touched`, async () => {
      await using service = await usedService();
      const store = damage(service.folder);
      const before = contents(service.folder);
      const { code, stdout, stderr } = await runBinary(["serve"], { cwd: service.folder, env: service.env });
      expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
      expect(stderr).toContain(join(service.folder, store));
      // One message for people, and no stack.
      expect(stderr).toMatch(/^fetchbox: [^\n]+\n$/);
      expect(contents(service.folder)).toEqual(before);
    });
  }

  test("another process holds the data directory: exit 4, and the other one goes on", async () => {
    await using origin = await startOrigin();
    await using service = await startService();
    for (const paths of [
      {},
      // One folder in common is enough.
      { "queue.path": "elsewhere/queue", "ledger.path": "elsewhere/ledger" },
    ]) {
      const env = { ...service.env, ...settingsEnv(paths) };
      const { code, stderr } = await runBinary(["serve"], { cwd: service.folder, env });
      expect(code).toBe(4);
      expect(stderr).toMatch(/^fetchbox: [^\n]*\/data\/(?:queue|dlq)[^\n]*\n$/);
    }
    const url = origin.serve("/a", "abc");
    const jobId = await service.submit({ manifest_version: "v1", resources: [{ id: "a", url }] });
    expect((await service.finished(jobId)).status).toBe("completed");
  });

  test("its address is taken: exit 2, and the key, the address and the way out are named", async () => {
    await using first = await startService();
    await using second = await prepareService({ settings: { "server.bind_addr": new URL(first.url).host } });
    const { code, stderr } = await runBinary(["serve"], { cwd: second.folder, env: second.env });
    expect(code).toBe(2);
    expect(stderr).toBe(
      `fetchbox: cannot listen on server.bind_addr = "${new URL(first.url).host}": another process listens there; ` +
        "stop it (ss -ltnp names it), or set another address or port (EADDRINUSE)\n",
    );
    const away = await runBinary(["serve"], {
      cwd: second.folder,
      env: { ...second.env, ...settingsEnv({ "server.bind_addr": "192.0.2.1:8080", "server.auth.mode": "none" }) },
    });
    expect([away.code, away.stderr]).toEqual([2, expect.stringContaining("this machine has no such address")]);
  });

  test("a handler's file is no handler: exit 2, with file, key and what is missing", async () => {
    for (const [code, missing] of [
      ["export default 5;", "JobHandler"],
      ["export default { prepare() {} };", "buildTasks"],
      ["throw new Error('not today');", "not today"],
      ["export default {", "cannot be loaded"],
    ] as const) {
      await using service = await prepareService({
        toml: '[handlers.own]\nhandler = "handlers/own.ts"\n',
        files: { "handlers/own.ts": code },
      });
      const ended = await runBinary(["serve"], { cwd: service.folder, env: service.env });
      expect(ended.code).toBe(2);
      for (const part of ["handlers.own", "handlers/own.ts", missing]) expect(ended.stderr).toContain(part);
      expect(ended.stderr).not.toContain("$bunfs");
    }
  });

  test("it would be open to the network without a token: exit 2", async () => {
    await using service = await prepareService({ settings: { "server.bind_addr": "0.0.0.0:0" } });
    const { code, stderr } = await runBinary(["serve"], { cwd: service.folder, env: service.env });
    expect(code).toBe(2);
    expect(stderr).toContain("server.bind_addr");
  });
});

test("what a service leaves on the disk is for its owner alone, and the objects are all of the rest", async () => {
  await using origin = await startOrigin();
  await using service = await startService();
  const jobId = await service.submit({
    manifest_version: "v1",
    resources: [{ id: "a", url: origin.serve("/a", "abc") }],
  });
  await service.finished(jobId);
  for (const folder of ["queue", "ledger", "dlq"]) {
    const path = join(service.folder, "data", folder);
    expect([folder, (statSync(path).mode & 0o777).toString(8)]).toEqual([folder, "700"]);
    for (const name of readdirSync(path)) {
      expect([name, (statSync(join(path, name)).mode & 0o777).toString(8)]).toEqual([name, "600"]);
    }
  }
  expect(readdirSync(service.folder)).toEqual(["data"]);
  expect(readdirSync(join(service.folder, "data", "objects", BUCKET)).toSorted()).toEqual(["manifests", "resources"]);
});

test("the binary runs from an empty folder with nothing beside it", async () => {
  await using service = await prepareService();
  const alone = join(service.folder, "bin");
  await mkdir(alone);
  copyFileSync(BINARY, join(alone, "fetchbox"));
  const child = Bun.spawn([join(alone, "fetchbox"), "version"], {
    cwd: alone,
    env: {},
    stdout: "pipe",
    stderr: "pipe",
  });
  expect([await child.exited, await child.stdout.text(), await child.stderr.text()]).toEqual([
    0,
    expect.stringMatching(VERSION_LINE),
    "",
  ]);
  expect(readdirSync(alone)).toEqual(["fetchbox"]);
});

test("files that a stranger left in the working directory do not reach into the program", async () => {
  await using origin = await startOrigin();
  const hostile = 'require("node:fs").writeFileSync("pwned", "");';
  await using service = await startService({
    toml: '[server]\nbind_addr = "127.0.0.1:0"\n',
    files: {
      // Beside the working directory's files lies no configuration that would name them.
      ".env": "FETCHBOX__QUEUE__WORKERS=nonsense\nNODE_TLS_REJECT_UNAUTHORIZED=0\nHTTP_PROXY=http://127.0.0.1:9\n",
      ".env.local": "FETCHBOX__QUEUE__WORKERS=nonsense\n",
      ".env.production": "FETCHBOX__QUEUE__WORKERS=nonsense\n",
      "bunfig.toml": 'preload = ["./hostile.ts"]\n[run]\npreload = ["./hostile.ts"]\n',
      "hostile.ts": hostile,
      "package.json": '{"name":"fetchbox","type":"commonjs","imports":{"elysia":"./hostile.ts"}}',
      "tsconfig.json": '{"compilerOptions":{"paths":{"*":["./hostile.ts"]}}}',
      "node_modules/elysia/index.js": hostile,
      "node_modules/pino/index.js": hostile,
      "index.ts": hostile,
    },
  });
  const url = origin.serve("/a", "abc");
  const jobId = await service.submit({ manifest_version: "v1", resources: [{ id: "a", url }] });
  expect((await service.finished(jobId)).status).toBe("completed");
  expect(readdirSync(service.folder)).not.toContain("pwned");
});

test("a failpoint that there is not stops the start, and those that there are are named", async () => {
  await using service = await prepareService();
  const { code, stderr } = await runBinary(["serve"], {
    cwd: service.folder,
    env: { ...service.env, FETCHBOX_FAILPOINT: "?" },
  });
  expect(code).toBe(2);
  expect(stderr).toContain("\n  queue.after-commit/jobAccepted\n");
});
