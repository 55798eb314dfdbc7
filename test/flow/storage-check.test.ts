import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createS3Store } from "../../src/storage/s3/s3-store.ts";
import { ensureBinary, runBinary, spawnBinary } from "../support/binary.ts";
import { type FaultyS3, startFaultyS3 } from "../support/faulty-s3.ts";
import { never } from "../support/faulty-store.ts";
import { codeForKeys } from "../support/s3-abilities.ts";
import { type S3Server, s3OptionsOf, s3ServerFor } from "../support/s3-server.ts";
import { settingsEnv } from "../support/service.ts";

setDefaultTimeout(120_000);

const SECRET = "wJalrXUtnFEMIbPxRfiCY";
const KEY_ID = "AKIDEXAMPLE";
const BUCKET = "fetchbox-artifacts";

async function desk() {
  await ensureBinary();
  const cwd = await mkdtemp(join(tmpdir(), "fetchbox-storage-"));
  return {
    cwd,
    run: (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
      runBinary(["storage", "check", ...args], { cwd, env }),
    [Symbol.asyncDispose]: () => rm(cwd, { recursive: true, force: true }),
  };
}

function envOf(endpoint: string, keys = { id: KEY_ID, secret: SECRET }, more: Record<string, string> = {}) {
  const settings = { "storage.backend": "s3", "storage.endpoint": endpoint, "storage.bucket": BUCKET, ...more };
  return { ...settingsEnv(settings), S3_ACCESS_KEY_ID: keys.id, S3_SECRET_ACCESS_KEY: keys.secret };
}

/** The check of a server where some requests go wrong. */
async function checkOn(faultFor: FaultyS3["faultFor"], args: readonly string[] = []) {
  await using at = await desk();
  await using s3 = await startFaultyS3();
  s3.faultFor = faultFor;
  const ended = await at.run(args, envOf(s3.endpoint));
  for (const secret of [KEY_ID, SECRET]) expect(ended.stdout + ended.stderr).not.toContain(secret);
  return { ...ended, lines: ended.stdout.trimEnd().split("\n"), left: [...s3.objects.keys(), ...s3.uploads.keys()] };
}

describe("storage check of the local storage", () => {
  test("tries the folder, says a line a step, and leaves nothing, not even the folder", async () => {
    await using at = await desk();
    const { code, stdout, stderr } = await at.run([]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout.trimEnd().split("\n")).toEqual([
      `bucket ${BUCKET} at ${join(at.cwd, "data/objects")}`,
      `folder  ok  ${join(at.cwd, "data/objects")} can be made`,
      "write 11 bytes  ok  written",
      "fsync  ok  on the disk",
      "rename  ok  moved into the bucket's folder",
      "fsync of the folder  ok  on the disk",
      "read and compare  ok  the same 11 bytes",
      "remove  ok  removed",
      expect.stringMatching(/^free space {2}(?:ok|note) {2}(?:only )?[\d.]+ [GM]B free/),
      "clean up  ok  everything is removed",
      expect.stringMatching(/^every step succeeded/),
    ]);
    expect(readdirSync(at.cwd)).toEqual([]);
  });

  test("leaves the objects and folders that are there", async () => {
    await using at = await desk();
    await mkdir(join(at.cwd, "data/objects", BUCKET), { recursive: true });
    await writeFile(join(at.cwd, "data/objects", BUCKET, "one"), "1");
    expect((await at.run([])).code).toBe(0);
    expect(readdirSync(join(at.cwd, "data/objects"), { recursive: true })).toEqual([BUCKET, `${BUCKET}/one`]);
  });

  test("fails with 1 where a file is in the way, and says what to do", async () => {
    await using at = await desk();
    await writeFile(join(at.cwd, "data"), "a file");
    const whole = await at.run([]);
    expect([whole.code, whole.stderr]).toEqual([1, ""]);
    expect(whole.stdout).toMatch(/^folder {2}FAILED {2}ENOTDIR: .*: a file is in the way of the folder$/m);
    expect(whole.stdout).toContain("write 11 bytes  skipped  needs folder\n");
    expect(whole.stdout).toContain("clean up  ok  everything is removed\n");
    await rm(join(at.cwd, "data"));
    await mkdir(join(at.cwd, "data/objects"), { recursive: true });
    await writeFile(join(at.cwd, "data/objects", BUCKET), "a file");
    const bucket = await at.run([]);
    expect([bucket.code, bucket.stderr]).toEqual([1, ""]);
    expect(bucket.stdout).toMatch(/^rename {2}FAILED {2}E\w+: .*a file is in the way of the folder$/m);
    expect(readdirSync(join(at.cwd, "data/objects"), { recursive: true })).toEqual([BUCKET]);
  });

  test("takes buckets by name, or all of the configuration, and prints one line of JSON", async () => {
    await using at = await desk();
    const named = await at.run(["--bucket", "one-bucket", "--bucket", "another", "--json"]);
    expect([named.code, named.stdout.split("\n").length]).toEqual([0, 2]);
    const report = JSON.parse(named.stdout) as { buckets: { bucket: string; ok: boolean; steps: unknown[] }[] };
    expect(report).toMatchObject({ backend: "local", ok: true });
    expect(report.buckets.map(({ bucket, ok }) => [bucket, ok])).toEqual([
      ["one-bucket", true],
      ["another", true],
    ]);
    expect(report.buckets[0]?.steps[1]).toEqual({ name: "write 11 bytes", result: "ok", detail: "written" });
    const all = await at.run(["--all-buckets"], settingsEnv({ "storage.allowed_buckets": "more-one,more-two" }));
    expect(all.stdout.match(/^bucket \S+/gm)).toEqual([`bucket ${BUCKET}`, "bucket more-one", "bucket more-two"]);
  });
});

test("storage check ends with 2 where the configuration or the command is bad, and asks nothing", async () => {
  await using at = await desk();
  await using s3 = await startFaultyS3();
  const { S3_SECRET_ACCESS_KEY: _, ...noSecret } = envOf(s3.endpoint);
  const runs = [
    await at.run([], noSecret),
    await at.run([], envOf("no URL")),
    await at.run(["--bucket", "../etc"], envOf(s3.endpoint)),
    await at.run(["--bucket", "Older_Bucket"], { ...envOf(""), FETCHBOX__STORAGE__REGION: "eu-west-1" }),
    await at.run(["--config", "nowhere.toml"], envOf(s3.endpoint)),
    await at.run(["--nonsense"], envOf(s3.endpoint)),
    await at.run(["extra"], envOf(s3.endpoint)),
  ];
  expect(runs.map(({ code, stdout }) => [code, stdout])).toEqual(runs.map(() => [2, ""]));
  expect(runs[2]?.stderr).toContain("--bucket ../etc must be a bucket name");
  expect(s3.calls).toEqual([]);
});

describe("storage check of S3", () => {
  test("is good with a server that does all, and leaves nothing", async () => {
    const { code, stderr, lines, left } = await checkOn(() => undefined);
    expect({ code, stderr, left }).toEqual({ code: 0, stderr: "", left: [] });
    expect(lines[0]).toMatch(/^bucket fetchbox-artifacts at http:\S+, region us-east-1, path addressing$/);
    expect(lines).toContainEqual(expect.stringMatching(/^PUT 11 bytes {2}ok {2}200 in \d+ ms, checksum sha256 taken$/));
    expect(lines).toContain("cut PUT  ok  nothing is visible");
    expect(lines.at(-1)).toBe("every step succeeded");
  });

  test("fails with 1 where the server is not atomic", async () => {
    const { code, lines, left } = await checkOn((call) => (call.method === "PUT" ? { kind: "keep" } : undefined));
    expect({ code, left }).toEqual({ code: 1, left: [] });
    expect(lines).toContainEqual(
      expect.stringMatching(
        /^cut PUT {2}FAILED {2}the object is visible with 3 of 11 bytes: this server is not atomic/,
      ),
    );
    expect(lines.at(-1)).toBe("21 steps: 2 failed, 0 skipped");
  });

  test("fails with 1 where a web server answers 200 to everything", async () => {
    const { code, lines } = await checkOn(() => ({
      kind: "answer",
      status: 200,
      headers: { "content-type": "text/html", etag: '"page"' },
      body: "<html>Welcome!</html>",
    }));
    expect(code).toBe(1);
    for (const name of ["bucket", "PUT 11 bytes"]) {
      expect(lines.find((line) => line.startsWith(`${name}  FAILED`))).toContain("an answer that is not S3's");
    }
  });

  test("that is interrupted removes what it stored, and ends with 1", async () => {
    await using at = await desk();
    await using s3 = await startFaultyS3();
    const isPart = (call: { query: URLSearchParams }) => call.query.has("partNumber");
    s3.faultFor = (call) => (isPart(call) ? { kind: "hang" } : undefined);
    const arrived = s3.arrival(isPart);
    await using child = spawnBinary(["storage", "check"], { cwd: at.cwd, env: envOf(s3.endpoint) });
    await arrived;
    child.kill("SIGINT");
    const [stdout] = await Promise.all([child.stdout.text(), child.exited]);
    expect(child.exitCode).toBe(1);
    expect(stdout).toContain("complete upload  skipped  interrupted\n");
    expect(stdout).toContain("clean up  ok  everything is removed\n");
    expect([...s3.objects.keys(), ...s3.uploads.keys()]).toEqual([]);
  });
});

const server = s3ServerFor("storage check of a real S3 server");
if (server !== undefined) describe("storage check of a real S3 server", () => describeServer(server));

function describeServer(real: S3Server): void {
  const keys = { id: real.credentials.accessKeyId, secret: real.credentials.secretAccessKey };
  const store = createS3Store(s3OptionsOf(real));
  const left = () => Array.fromAsync(store.list(real.bucket, ".fetchbox-check/", never));

  test("is good, and leaves nothing", async () => {
    await using at = await desk();
    const { code, stdout, stderr } = await at.run([], envOf(real.endpoint, keys, { "storage.bucket": real.bucket }));
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).not.toContain("FAILED");
    expect(stdout).toMatch(/^Content-MD5 {2}ok {2}taken; a wrong one is refused: 400 BadDigest/m);
    expect(stdout).toContain("parts of 5 MiB, 6 MiB and 11 bytes  ok  taken, 11534347 bytes\n");
    for (const secret of Object.values(keys)) expect(stdout).not.toContain(secret);
    expect(await left()).toEqual([]);
  });

  test.each<[string, { id?: string; secret?: string }, Record<string, string>, () => string | Promise<string>]>([
    ["a wrong key id", { id: "NOBODYSKEY" }, {}, () => codeForKeys(real, { accessKeyId: "NOBODYSKEY" })],
    ["a wrong secret", { secret: "not-the-secret" }, {}, () => "SignatureDoesNotMatch"],
    ["no such bucket", {}, { "storage.bucket": "fetchbox-no-such-bucket" }, () => "NoSuchBucket"],
  ])("fails with 1 for %s, in the server's words", async (_, wrong, settings, wordOf) => {
    const word = await wordOf();
    await using at = await desk();
    const env = envOf(real.endpoint, { ...keys, ...wrong }, { "storage.bucket": real.bucket, ...settings });
    const { code, stdout } = await at.run([], env);
    expect(code).toBe(1);
    for (const name of ["bucket", "PUT 11 bytes"]) {
      expect(stdout.split("\n").find((line) => line.startsWith(`${name}  FAILED`))).toContain(word);
    }
    for (const secret of [wrong.secret ?? keys.secret, wrong.id ?? keys.id]) expect(stdout).not.toContain(secret);
  });
}
