import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { ensureBinary, runBinary } from "../support/binary.ts";
import { startOrigin } from "../support/origin.ts";
import { startService } from "../support/service.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

setDefaultTimeout(60_000);

const LONG_AGO = new Date("2020-01-01T00:00:00Z");
const NOBODY = 65_534;
const SETTINGS = {
  FETCHBOX__QUEUE__RATE_LIMIT_PER_WORKER: "0",
  FETCHBOX__EGRESS__ALLOW_PRIVATE: "127.0.0.0/8",
};
const isRoot = process.geteuid?.() === 0;
if (!isRoot) console.log("folders of other users are not tested: only root can make them");

/** A folder for temporaries in which somebody else has put something, and the files that it leads to. */
function sharedTemporary() {
  const folder = makeTemporaryFolder("planted");
  const victims = join(folder, "victims");
  const tmp = join(folder, "tmp");
  mkdirSync(victims);
  mkdirSync(tmp, { mode: 0o777 });
  const victim = join(victims, "victim");
  writeFileSync(victim, "precious");
  chmodSync(victim, 0o644);
  return { folder, tmp, victim, absent: join(victims, "absent") };
}

async function runOnce(folder: string, tmp: string) {
  await ensureBinary();
  await using origin = await startOrigin();
  const resources = [{ id: "a", url: origin.serve("/a", "abc") }];
  writeFileSync(join(folder, "manifest.json"), JSON.stringify({ manifest_version: "v1", resources }));
  return await runBinary(["run", "manifest.json", "--out", "out"], { cwd: folder, env: { ...SETTINGS, TMPDIR: tmp } });
}

function expectUntouched({ victim, absent }: { victim: string; absent: string }): void {
  expect(readFileSync(victim, "utf8")).toBe("precious");
  expect((statSync(victim).mode & 0o777).toString(8)).toBe("644");
  expect(existsSync(absent)).toBe(false);
}

describe("a run leaves alone what stands among the temporaries under its name:", () => {
  const plants: readonly (readonly [string, (at: ReturnType<typeof sharedTemporary>) => string])[] = [
    [
      "a folder that others may write to, with a link to a file as its lock",
      ({ tmp, victim }) => {
        const planted = join(tmp, "fetchbox-run-open");
        mkdirSync(planted);
        chmodSync(planted, 0o777);
        symlinkSync(victim, join(planted, "fetchbox.lock"));
        return planted;
      },
    ],
    [
      "a folder of its own, with a link as its lock to where no file is",
      ({ tmp, absent }) => {
        const planted = join(tmp, "fetchbox-run-own");
        mkdirSync(planted, { mode: 0o700 });
        symlinkSync(absent, join(planted, "fetchbox.lock"));
        return planted;
      },
    ],
    [
      "a link to a folder",
      ({ tmp, victim }) => {
        const planted = join(tmp, "fetchbox-run-link");
        symlinkSync(dirname(victim), planted);
        lutimesSync(planted, LONG_AGO, LONG_AGO);
        utimesSync(dirname(victim), LONG_AGO, LONG_AGO);
        return planted;
      },
    ],
  ];
  for (const [name, plant] of plants) {
    test(name, async () => {
      const at = sharedTemporary();
      const planted = plant(at);
      utimesSync(planted, LONG_AGO, LONG_AGO);
      const ended = await runOnce(at.folder, at.tmp);
      expect([ended.code, ended.stderr]).toEqual([0, ""]);
      expectUntouched(at);
      expect(readdirSync(dirname(at.victim))).toEqual(["victim"]);
      expect(readdirSync(at.tmp)).toEqual([planted.slice(at.tmp.length + 1)]);
    });
  }

  test.skipIf(!isRoot)("a folder of another user", async () => {
    const at = sharedTemporary();
    const planted = join(at.tmp, "fetchbox-run-other");
    mkdirSync(planted, { mode: 0o700 });
    chownSync(planted, NOBODY, NOBODY);
    utimesSync(planted, LONG_AGO, LONG_AGO);
    expect((await runOnce(at.folder, at.tmp)).code).toBe(0);
    expect(readdirSync(planted)).toEqual([]);
  });
});

test("a run still removes what a run of the same user left that was killed", async () => {
  const at = sharedTemporary();
  const left = join(at.tmp, "fetchbox-run-left");
  mkdirSync(left, { mode: 0o700 });
  writeFileSync(join(left, "queue.db"), "x");
  utimesSync(left, LONG_AGO, LONG_AGO);
  expect((await runOnce(at.folder, at.tmp)).code).toBe(0);
  expect(readdirSync(at.tmp)).toEqual([]);
});

test.skipIf(!isRoot)("a run stores nothing through another user's link in place of a bucket", async () => {
  const at = sharedTemporary();
  const bucket = join(at.folder, "out/fetchbox-artifacts");
  mkdirSync(dirname(bucket));
  symlinkSync(dirname(at.victim), bucket);
  lchownSync(bucket, NOBODY, NOBODY);
  const refused = await runOnce(at.folder, at.tmp);
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining(`${bucket} is another user's link`)]);
  expect(readdirSync(dirname(at.victim))).toEqual(["victim"]);
  // The operator's own link is a choice.
  lchownSync(bucket, 0, 0);
  expect((await runOnce(at.folder, at.tmp)).code).toBe(0);
  expect(readdirSync(dirname(at.victim)).toSorted()).toEqual(["manifests", "resources", "victim"]);
});

test("a store's lock that is a link stops the start, and what it leads to stays as it is", async () => {
  await using service = await startService();
  await service.stop();
  const at = sharedTemporary();
  for (const target of [at.victim, at.absent]) {
    const lock = join(service.folder, "data/queue/fetchbox.lock");
    renameSync(lock, `${lock}.real`);
    symlinkSync(target, lock);
    const { code, stderr } = await runBinary(["serve"], { cwd: service.folder, env: service.env });
    expect([code, stderr]).toEqual([3, `fetchbox: ${lock}: cannot be locked: it is a link; remove it\n`]);
    expectUntouched(at);
    renameSync(`${lock}.real`, lock);
  }
});

describe("the storage's temporaries", () => {
  test("behind a link are neither written nor swept, and the start says so", async () => {
    await using service = await startService();
    await service.stop();
    const at = sharedTemporary();
    const uploads = join(service.folder, "data/objects/.uploads");
    const foreign = join(dirname(at.victim), "others-files");
    mkdirSync(foreign);
    writeFileSync(join(foreign, "precious"), "x");
    symlinkSync(dirname(at.victim), uploads);
    const { code, stderr } = await runBinary(["serve"], { cwd: service.folder, env: service.env });
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/storage\.path: .*\.uploads must be a folder, and no link/),
    ]);
    const checked = await runBinary(["storage", "check"], { cwd: service.folder, env: service.env });
    expect([checked.code, checked.stdout]).toEqual([1, expect.stringContaining(".uploads must be a folder")]);
    expectUntouched(at);
    expect(readdirSync(foreign)).toEqual(["precious"]);
    expect(readdirSync(dirname(at.victim)).toSorted()).toEqual(["others-files", "victim"]);
  });

  test.skipIf(!isRoot)("in another user's folder are not written, and the start says so", async () => {
    await using service = await startService();
    await service.stop();
    const uploads = join(service.folder, "data/objects/.uploads");
    mkdirSync(uploads, { mode: 0o777 });
    chownSync(uploads, NOBODY, NOBODY);
    const { code, stderr } = await runBinary(["serve"], { cwd: service.folder, env: service.env });
    expect([code, stderr]).toEqual([2, expect.stringContaining(`${uploads} belongs to another user`)]);
    expect(readdirSync(uploads)).toEqual([]);
  });

  test("that are a link, or another user's, are not swept", async () => {
    await using service = await startService();
    await service.stop();
    const at = sharedTemporary();
    const uploads = join(service.folder, "data/objects/.uploads");
    mkdirSync(uploads);
    symlinkSync(dirname(at.victim), join(uploads, "a-link"));
    mkdirSync(join(uploads, "of-mine"));
    mkdirSync(join(uploads, "of-another"));
    if (isRoot) chownSync(join(uploads, "of-another"), NOBODY, NOBODY);
    await service.start();
    expectUntouched(at);
    expect(readdirSync(dirname(at.victim))).toEqual(["victim"]);
    const left = readdirSync(uploads).filter((name) => !/^[0-9a-f-]{36}$/.test(name));
    expect(left.toSorted()).toEqual(isRoot ? ["a-link", "of-another"] : ["a-link"]);
  });
});

describe("a backup", () => {
  test("into a shared folder takes no folder that somebody made under a name that it might use", async () => {
    await using service = await startService();
    const shared = makeTemporaryFolder("shared");
    const at = sharedTemporary();
    // The name has held the process id: a parent knows it, and others can make one for each.
    const script = `mkdir -p "${shared}/.copy.partial-$$" && chmod 777 "${shared}/.copy.partial-$$" && ln -s "${at.victim}" "${shared}/.copy.partial-$$/backup.json" && exec "$@"`;
    const taken = await runBinary(["backup", join(shared, "copy")], {
      cwd: service.folder,
      env: service.env,
      through: ["sh", "-c", script, "sh"],
    });
    expect([taken.code, taken.stderr]).toEqual([0, ""]);
    expectUntouched(at);
    expect((statSync(join(shared, "copy")).mode & 0o777).toString(8)).toBe("700");
    expect(readdirSync(join(shared, "copy")).toSorted()).toEqual(["backup.json", "dlq", "ledger", "queue"]);
    const planted = readdirSync(shared).filter((name) => name.startsWith(".copy.partial-"));
    expect(planted.map((name) => readdirSync(join(shared, name)))).toEqual([["backup.json"]]);
  });

  test("refuses what stands in its place, be it a link or another user's folder", async () => {
    await using service = await startService();
    const shared = makeTemporaryFolder("shared");
    const elsewhere = join(shared, "elsewhere");
    mkdirSync(elsewhere);
    symlinkSync(elsewhere, join(shared, "link"));
    symlinkSync(join(shared, "nowhere"), join(shared, "dangling"));
    mkdirSync(join(shared, "others"));
    if (isRoot) chownSync(join(shared, "others"), NOBODY, NOBODY);
    const others = isRoot ? [["others", "belongs to another user"] as const] : [];
    for (const [name, why] of [
      ["link", "is not a directory"],
      ["dangling", "is not a directory"],
      ...others,
    ] as const) {
      const before = readdirSync(shared).toSorted();
      const { code, stderr } = await runBinary(["backup", join(shared, name)], {
        cwd: service.folder,
        env: service.env,
      });
      expect([name, code, stderr]).toEqual([
        name,
        2,
        `fetchbox: ${join(shared, name)} already exists and ${why}; name another directory\n`,
      ]);
      expect(readdirSync(shared).toSorted()).toEqual(before);
    }
    expect(readdirSync(elsewhere)).toEqual([]);
  });
});
