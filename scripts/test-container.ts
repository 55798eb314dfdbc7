/**
 * Builds the image of the Dockerfile, and runs it as a container engine would, without a daemon:
 * `bun scripts/test-container.ts [--local-bases]`. With `--local-bases` two stand-ins replace the images that the
 * Dockerfile starts from, for a machine that cannot pull them. It needs Linux, root and buildah, and the stand-ins need
 * debootstrap. It exits with 1 if a check fails, and skips with the reason where it cannot run.
 */
import assert from "node:assert/strict";
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import manifest from "../package.json" with { type: "json" };
import { eventually } from "../test/support/eventually.ts";
import { freePort } from "./bench/service.ts";
import { Buildah, type ImageConfig } from "./container/buildah.ts";
import { firstProcess } from "./container/first-process.ts";
import { type ImageMounts, startInImage } from "./container/image-process.ts";
import { makeLocalBases } from "./container/local-bases.ts";
import { cannotRun, output, passed } from "./container/run-command.ts";
import { runJob } from "./container/run-job.ts";

const IMAGE = "localhost/fetchbox";
const TOKEN = "operator-token-of-the-container-test";
const REVISION = "0123456789abcdef0123456789abcdef01234567";
const SOURCE = "https://example.com/fetchbox";
const HAS_LOCAL_BASES = process.argv.includes("--local-bases");

const reason = cannotRun(["buildah", "unshare", "setpriv", ...(HAS_LOCAL_BASES ? ["debootstrap", "npm"] : [])]);
if (reason !== undefined) {
  console.log(`test-container is skipped: ${reason}`);
} else {
  const folder = mkdtempSync(join(tmpdir(), "fetchbox-container-"));
  const buildah = new Buildah(folder);
  try {
    await main(buildah, folder);
  } finally {
    buildah.clear();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function main(buildah: Buildah, folder: string): Promise<void> {
  build(buildah, folder);
  const { config, root } = buildah.open(IMAGE);
  checkConfig(config);
  checkFiles(root);
  const data = join(folder, "data");
  mkdirSync(data);
  chownSync(data, 10001, 10001);
  await checkRun(config, { root, data });
  passed(`the image has ${Math.round(Number(output(["du", "-s", "--block-size=1000000", root]).split("\t")[0]))} MB`);
}

function build(buildah: Buildah, folder: string): void {
  const labels = [`VERSION=${manifest.version}`, `REVISION=${REVISION}`, `SOURCE=${SOURCE}`];
  const args = [...labels, ...(HAS_LOCAL_BASES ? makeLocalBases(buildah, folder) : [])];
  const npmrc = join(process.env["HOME"] ?? "/root", ".npmrc");
  const volumes = existsSync(npmrc) ? ["--volume", `${npmrc}:/root/.npmrc:ro`] : [];
  const flags = ["--isolation", "chroot", "--format", "docker", "--pull-never", "--network", "host"];
  // Without stand-ins the bases are pulled.
  const own = HAS_LOCAL_BASES ? flags : flags.filter((flag) => flag !== "--pull-never");
  buildah.run(
    "build",
    ...own,
    ...volumes,
    ...args.flatMap((arg) => ["--build-arg", arg]),
    "--tag",
    IMAGE,
    resolve("."),
  );
  passed(`the Dockerfile builds${HAS_LOCAL_BASES ? ", on stand-ins for its two base images" : ""}`);
}

function checkConfig(config: ImageConfig): void {
  assert.equal(config.User, "10001:10001");
  assert.equal(config.WorkingDir, "/data");
  assert.equal(config.StopSignal, "SIGTERM");
  assert.deepEqual(Object.keys(config.Volumes), ["/data"]);
  assert.deepEqual(Object.keys(config.ExposedPorts), ["8080/tcp"]);
  assert.deepEqual(config.Cmd, ["serve"]);
  assert.deepEqual(config.Healthcheck.Test, ["CMD", ...config.Entrypoint, "health", "--live"]);
  const label = (name: string) => config.Labels[`org.opencontainers.image.${name}`];
  assert.deepEqual(["version", "revision", "source", "licenses"].map(label), [
    manifest.version,
    REVISION,
    SOURCE,
    manifest.license,
  ]);
  passed("the image has the user, the volume, the health check, the stop signal and the labels");
}

/** The image has no shell, no package manager, and no file that the build should have left out. */
function checkFiles(root: string): void {
  const programs = ["bin", "usr/bin", "usr/local/bin", "sbin", "usr/sbin"].flatMap((folder) =>
    existsSync(join(root, folder)) ? readdirSync(join(root, folder)) : [],
  );
  assert.deepEqual(programs.toSorted(), ["env", "fetchbox"]);
  assert.deepEqual(readdirSync(join(root, "data")), []);
  assert.equal(existsSync(join(root, "src")), false);
  passed("the image has two programs: fetchbox and env");
}

async function checkRun(config: ImageConfig, mounts: ImageMounts): Promise<void> {
  const port = await freePort();
  const command = [...config.Entrypoint, ...config.Cmd];
  const settings = {
    FETCHBOX__SERVER__AUTH__TOKENS: `operator:${TOKEN}`,
    FETCHBOX__SERVER__BIND_ADDR: `127.0.0.1:${port}`,
    FETCHBOX__EGRESS__ALLOW_PRIVATE: "127.0.0.0/8",
    // The entry point drops it; Bun would fail at a missing file.
    BUN_OPTIONS: "--preload /missing.ts",
  };
  const service = startInImage(mounts, config, command, settings);
  const first = await eventually("process 1 of the container runs", () => firstProcess(service.pid));
  let log = "";
  const reading = (async () => {
    for await (const chunk of service.stdout) log += Buffer.from(chunk).toString();
  })();
  const url = `http://127.0.0.1:${port}`;
  try {
    const health = () => healthCheck(config, mounts, url);
    await eventually("the health check succeeds", async () => ((await health()) === 0 ? true : undefined));
    passed("the health check succeeds, without a token, under a read-only root");
    const version = await startInImage(mounts, config, ["fetchbox", "version"]).stdout.text();
    assert.match(version, new RegExp(`${manifest.version}.*${REVISION.slice(0, 12)}`, "s"));
    await checkJob(url, mounts.data);
    process.kill(first, "SIGHUP");
    await eventually("the log has: reloaded", () => (log.includes('"msg":"reloaded"') ? true : undefined));
    passed("SIGHUP to process 1 reloads");
    process.kill(first, "SIGTERM");
    assert.equal(await service.exited, 0, log);
    assert.notEqual(await health(), 0);
    passed("SIGTERM to process 1 ends the container with 0, and the health check then fails");
  } catch (error) {
    console.error(`${log}\n${service.exitCode === null ? "" : await service.stderr.text()}`);
    throw error;
  } finally {
    if (service.exitCode === null) process.kill(first, "SIGKILL");
    await service.exited;
    await reading;
  }
}

/** Runs the health check of the image in the image, and returns its exit code. */
async function healthCheck(config: ImageConfig, mounts: ImageMounts, url: string): Promise<number> {
  const [kind, ...command] = config.Healthcheck.Test;
  assert.equal(kind, "CMD");
  return startInImage(mounts, config, command, { FETCHBOX_SERVER: url }).exited;
}

async function checkJob(url: string, data: string): Promise<void> {
  const job = await runJob(url, TOKEN);
  const stored = join(data, "data/objects/fetchbox-artifacts/resources/default", job, "a.txt");
  assert.equal(await Bun.file(stored).text(), "abc");
  passed("a job runs, and its object is in the volume");
}
