/**
 * Installs the Debian package on a Debian with a running systemd, and operates its units as an operator would:
 * `bun scripts/test-systemd.ts`. It needs Linux, root, systemd-nspawn, debootstrap and dist/fetchbox. It exits with 1
 * if a check fails, and skips with the reason where it cannot run.
 */
import assert from "node:assert/strict";
import { appendFileSync, copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../test/support/eventually.ts";
import { Machine } from "./container/machine.ts";
import { minimalDebian } from "./container/minimal-debian.ts";
import { cannotRun, output, passed } from "./container/run-command.ts";
import { runJob } from "./container/run-job.ts";

const FIRST = "first-token-of-the-systemd-test";
const SECOND = "second-token-of-the-systemd-test";
const TOKENS = "FETCHBOX__SERVER__AUTH__TOKENS=operator:";
/** The command of an operator, as docs/operate/runbook.md gives it. */
const AS_USER = ["env", "--chdir=/var/lib/fetchbox", "runuser", "--user", "fetchbox", "--", "fetchbox"];

const reason = cannotRun(["systemd-nspawn", "nsenter", "debootstrap", "dpkg-deb"]);
if (reason !== undefined) {
  console.log(`test-systemd is skipped: ${reason}`);
} else {
  const folder = mkdtempSync(join(tmpdir(), "fetchbox-systemd-"));
  try {
    await main(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function main(folder: string): Promise<void> {
  const root = join(folder, "machine");
  output(["cp", "--archive", minimalDebian(), root]);
  copyFileSync("/etc/resolv.conf", join(root, "etc/resolv.conf"));
  const install = ["apt-get", "install", "--yes", "--no-install-recommends", "systemd", "systemd-sysv", "procps"];
  output(["chroot", root, ...install, "ca-certificates"]);
  output([process.execPath, "scripts/package.ts", "--deb", `--out=${join(root, "packages")}`]);
  await using machine = await Machine.boot(root);
  passed("Debian 12 with systemd runs");
  checkInstallation(machine);
  const url = await checkStart(machine);
  await runJob(url, FIRST);
  passed("a job runs");
  await checkReload(machine, url);
  checkBackup(machine);
  await checkRestarts(machine);
  checkPurge(machine);
}

function deb(machine: Machine): string {
  const name = readdirSync(join(machine.root, "packages")).find((file) => file.endsWith(".deb"));
  assert.ok(name);
  return `/packages/${name}`;
}

function checkInstallation(machine: Machine): void {
  machine.run("dpkg", "--install", deb(machine));
  assert.equal(machine.show("fetchbox.service", "ActiveState"), "inactive");
  assert.equal(machine.run("stat", "--format=%U:%G %a", "/etc/fetchbox/.env"), "root:fetchbox 640");
  passed("the package installs, and starts no service");
}

/** Starts the service, and returns its URL. */
async function checkStart(machine: Machine): Promise<string> {
  const env = join(machine.root, "etc/fetchbox/.env");
  const settings = ["FETCHBOX__SERVER__BIND_ADDR=127.0.0.1:0", "FETCHBOX__EGRESS__ALLOW_PRIVATE=127.0.0.0/8"];
  appendFileSync(env, `${[`${TOKENS}${FIRST}`, ...settings].join("\n")}\n`);
  machine.run(...AS_USER, "config", "check");
  machine.run("systemctl", "enable", "--now", "fetchbox", "fetchbox-backup.timer");
  const url = await eventually("the log has the URL", () => /"url":"(http:[^"]+)"/.exec(journal(machine))?.[1]);
  const status = machine.run("cat", `/proc/${machine.show("fetchbox.service", "MainPID")}/status`);
  assert.match(status, /^CapEff:\s+0+$/m);
  assert.match(status, /^NoNewPrivs:\s+1$/m);
  assert.match(status, /^Seccomp:\s+2$/m);
  assert.doesNotMatch(status, /^Uid:\s+0\s/m);
  passed("the service starts, without capabilities and with a filter of system calls");
  return url;
}

function journal(machine: Machine): string {
  return machine.run("journalctl", "--unit=fetchbox", "--output=cat", "--no-pager");
}

async function checkReload(machine: Machine, url: string): Promise<void> {
  const env = join(machine.root, "etc/fetchbox/.env");
  writeFileSync(env, readFileSync(env, "utf8").replace(FIRST, SECOND));
  machine.run("systemctl", "reload", "fetchbox");
  await eventually("the log has: reloaded", () => (journal(machine).includes('"msg":"reloaded"') ? true : undefined));
  const statusWith = async (token: string) =>
    (await fetch(`${url}/operators/jobs`, { headers: { authorization: `Bearer ${token}` } })).status;
  assert.deepEqual([await statusWith(FIRST), await statusWith(SECOND)], [401, 200]);
  passed("an edit of the file and systemctl reload rotate a token");
}

function checkBackup(machine: Machine): void {
  machine.run("systemctl", "start", "fetchbox-backup.service");
  const [name = "", ...more] = readdirSync(join(machine.root, "var/backups/fetchbox"));
  assert.deepEqual(more, []);
  assert.deepEqual(readdirSync(join(machine.root, "var/backups/fetchbox", name)).toSorted(), [
    "backup.json",
    "dlq",
    "ledger",
    "queue",
  ]);
  assert.match(machine.run(...AS_USER, "verify"), /^1 job, 1 task, .*no inconsistencies$/);
  assert.notEqual(machine.show("fetchbox-backup.timer", "NextElapseUSecRealtime"), "");
  passed("the backup service copies the stores beside the running service");
}

async function checkRestarts(machine: Machine): Promise<void> {
  const main = () => machine.show("fetchbox.service", "MainPID");
  const first = main();
  machine.run("systemctl", "kill", "--signal=KILL", "fetchbox");
  await eventually("the service restarts", () => (["0", first].includes(main()) ? undefined : true));
  assert.equal(machine.show("fetchbox.service", "NRestarts"), "1");
  passed("the service restarts after kill -9");

  const second = main();
  machine.run("dpkg", "--install", deb(machine));
  await eventually("the upgrade restarts the service", () => (["0", second].includes(main()) ? undefined : true));
  passed("an upgrade of the package restarts the service");

  appendFileSync(join(machine.root, "etc/fetchbox/.env"), "FETCHBOX__QUEUE__WRKERS=1\n");
  machine.try("systemctl", "restart", "fetchbox");
  await eventually("the service has failed", () =>
    machine.show("fetchbox.service", "ActiveState") === "failed" ? true : undefined,
  );
  const facts = ["ExecMainStatus", "NRestarts"].map((property) => machine.show("fetchbox.service", property));
  assert.deepEqual(facts, ["2", "0"]);
  assert.match(journal(machine), /did you mean FETCHBOX__QUEUE__WORKERS\?/);
  passed("an invalid configuration ends with 2, and without restarts");
}

function checkPurge(machine: Machine): void {
  const { text } = machine.try("dpkg", "--purge", "fetchbox");
  assert.match(text, /\/var\/lib\/fetchbox is not empty and stays/);
  assert.deepEqual(readdirSync(join(machine.root, "var/lib/fetchbox")), ["data"]);
  assert.notEqual(machine.try("test", "-e", "/etc/fetchbox").code, 0);
  passed("a purge removes the configuration, and keeps the data");
}
