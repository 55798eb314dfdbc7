import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { EXIT } from "../../src/cli/exit-code.ts";
import { createProject } from "../config/project.ts";
import { BINARY, ensureBinary } from "../support/binary.ts";
import { unpackDebian } from "../support/debian.ts";
import { eventually } from "../support/eventually.ts";
import { prepareService, type Service, startService } from "../support/service.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { onlySettingOf, settingOf, UNITS } from "../support/unit-file.ts";

setDefaultTimeout(120_000);

const SERVICES = ["fetchbox.service", "fetchbox-backup.service"];
const ALL = [...SERVICES, "fetchbox-backup.timer"];
/** The highest exposure of a unit, in tenths. */
const EXPOSURE_MAX = 20;

const systemd = unpackDebian("systemd", ["systemd"]);
if ("reason" in systemd) console.warn(`the checks by systemd-analyze are skipped: ${systemd.reason}`);

/** Runs systemd-analyze of Debian's package, which needs no running systemd. */
function analyze(...args: string[]): { code: number; text: string } {
  const { root, env } = "root" in systemd ? systemd : { root: "", env: {} };
  const program = join(root, "usr/bin/systemd-analyze");
  const path = `${join(root, "lib/systemd")}:${env["LD_LIBRARY_PATH"] ?? ""}`;
  const { exitCode, stdout, stderr } = Bun.spawnSync([program, "--no-pager", ...args], {
    env: { PATH: process.env["PATH"] ?? "", LD_LIBRARY_PATH: path },
  });
  return { code: exitCode, text: stdout.toString() + stderr.toString() };
}

/** A folder that looks like `/` of a machine with our units, for `systemd-analyze --root`. */
function machineWith(change: (unit: string) => string = (unit) => unit): string {
  const root = makeTemporaryFolder("units");
  const programs = ["usr/bin/fetchbox", "usr/sbin/fetchbox-backup", "usr/bin/kill"];
  for (const program of programs) {
    mkdirSync(join(root, dirname(program)), { recursive: true });
    writeFileSync(join(root, program), "");
    chmodSync(join(root, program), 0o755);
  }
  const units = join(root, "etc/systemd/system");
  mkdirSync(units, { recursive: true });
  for (const unit of ALL) writeFileSync(join(units, unit), change(readFileSync(join(UNITS, unit), "utf8")));
  if ("root" in systemd) {
    cpSync(join(systemd.root, "lib/systemd/system"), join(root, "usr/lib/systemd/system"), {
      recursive: true,
      verbatimSymlinks: true,
    });
  }
  return root;
}

describe.if("root" in systemd)("systemd-analyze", () => {
  test("verifies all units", () => {
    expect(analyze("--man=no", `--root=${machineWith()}`, "verify", ...ALL)).toEqual({ code: 0, text: "" });
  });

  test("finds a mistake in a unit, so its silence means something", () => {
    const root = machineWith((unit) => unit.replace(/^ExecStart=fetchbox /m, "ExecStart=fetchbocks "));
    expect(analyze("--man=no", `--root=${root}`, "verify", ...ALL)).toMatchObject({
      code: 1,
      text: expect.stringContaining("fetchbocks is not executable"),
    });
  });

  test.each(SERVICES)("rates the exposure of %s below 2.0", (unit) => {
    const rated = analyze("security", "--offline=yes", `--threshold=${EXPOSURE_MAX}`, join(UNITS, unit));
    expect(rated.text).toContain(`Overall exposure level for ${unit}`);
    expect([rated.code, rated.text.split("\n").at(-2)]).toEqual([0, expect.stringContaining("→ Overall")]);
  });
});

describe("fetchbox.service", () => {
  test("does not restart after exit codes that a restart cannot change", () => {
    const codes = [EXIT.usage, EXIT.store, EXIT.locked].join(" ");
    expect(onlySettingOf("fetchbox.service", "RestartPreventExitStatus")).toBe(codes);
    expect(onlySettingOf("fetchbox.service", "Restart")).toBe("on-failure");
  });

  test("stops no sooner than ten seconds after the default grace", () => {
    using project = createProject();
    const graceSeconds = project.load().server.shutdown_grace_ms / 1000;
    expect(Number(onlySettingOf("fetchbox.service", "TimeoutStopSec"))).toBeGreaterThanOrEqual(graceSeconds + 10);
  });

  test.each(SERVICES)("%s lets the JIT compiler work", (unit) => {
    expect(settingOf(unit, "MemoryDenyWriteExecute")).toEqual([]);
  });

  test("rotates a token by an edit of its file and a reload, with the unit's own commands", async () => {
    const first = "canary-first-token-of-the-unit";
    const second = "canary-second-token-of-the-unit";
    const file = (token: string) => `FETCHBOX__SERVER__AUTH__TOKENS=operator:${token}\n`;
    const etc = makeTemporaryFolder("etc");
    writeFileSync(join(etc, ".env"), file(first));
    writeFileSync(join(etc, "fetchbox.toml"), "");
    const [program, ...args] = onlySettingOf("fetchbox.service", "ExecStart")
      .replaceAll("/etc/fetchbox", etc)
      .split(" ");
    expect(program).toBe("fetchbox");
    await using service = await startService({ args });
    expect([await statusWith(service, first), await statusWith(service, second)]).toEqual([200, 401]);

    writeFileSync(join(etc, ".env"), file(second));
    const reload = onlySettingOf("fetchbox.service", "ExecReload").replace("$MAINPID", String(service.pid));
    expect(Bun.spawnSync(reload.split(" ")).exitCode).toBe(0);
    await eventually("the log has: reloaded", () => (service.log.includes('"msg":"reloaded"') ? true : undefined));
    expect(service.log).toContain('"access tokens":"1 token, 1 new, 1 gone"');
    expect([await statusWith(service, first), await statusWith(service, second)]).toEqual([401, 200]);
  });
});

async function statusWith(service: Service, token: string): Promise<number> {
  return (await service.fetch("/operators/jobs", { headers: { authorization: `Bearer ${token}` } })).status;
}

describe("fetchbox-backup", () => {
  const OLD = ["2026-11-01T023000Z", "2026-11-02T023000Z", "2026-11-03T023000Z"];

  /** A service without stores, a folder of backups, and the command of the unit. */
  async function prepare() {
    await ensureBinary();
    const service = await prepareService({ toml: "" });
    const bin = makeTemporaryFolder("bin");
    symlinkSync(BINARY, join(bin, "fetchbox"));
    const backups = makeTemporaryFolder("backups");
    for (const name of [...OLD, "by-hand"]) mkdirSync(join(backups, name));
    const run = (keep: string, ...more: string[]) => {
      const command = ["sh", join(UNITS, "fetchbox-backup.sh"), backups, keep, ...more];
      const { exitCode, stdout, stderr } = Bun.spawnSync(command, {
        cwd: service.folder,
        env: { ...service.env, PATH: `${bin}:${process.env["PATH"]}` },
      });
      return { code: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
    };
    return { service, backups, run, names: () => readdirSync(backups).toSorted() };
  }

  test("makes a backup, and keeps the newest ones and folders with other names", async () => {
    const { service, backups, run, names } = await prepare();
    await using _ = service;
    await service.start();
    const done = run("2", "--config", "config/fetchbox.toml");
    expect(done).toMatchObject({ code: 0, stderr: "" });
    const [kept, made = "", other] = names();
    expect([kept, other]).toEqual(["2026-11-03T023000Z", "by-hand"]);
    expect(made).toMatch(/^20\d\d-\d\d-\d\dT\d{6}Z$/);
    expect(readdirSync(join(backups, made)).toSorted()).toEqual(["backup.json", "dlq", "ledger", "queue"]);
    expect(done.stdout).toContain(`removed ${backups}/${OLD[0]}\nremoved ${backups}/${OLD[1]}\n`);
  });

  test("removes no backup if the new one fails", async () => {
    const { service, run, names } = await prepare();
    await using _ = service;
    expect(run("1", "--config", "config/missing.toml").code).toBe(EXIT.usage);
    expect(names()).toEqual([...OLD, "by-hand"]);
  });

  test.each(["0", "-1", "seven", ""])("refuses to keep %p backups", async (keep) => {
    const { service, run, names } = await prepare();
    await using _ = service;
    expect(run(keep)).toMatchObject({ code: 2, stdout: "", stderr: expect.stringContaining(`got '${keep}'`) });
    expect(names()).toEqual([...OLD, "by-hand"]);
  });

  test("runs in its unit with the arguments that the script takes", () => {
    const command = onlySettingOf("fetchbox-backup.service", "ExecStart");
    const configuration = onlySettingOf("fetchbox.service", "ExecStart").replace("fetchbox serve ", "");
    expect(command).toBe(`fetchbox-backup \${BACKUP_FOLDER} \${BACKUP_KEEP} ${configuration}`);
    const variables = onlySettingOf("fetchbox-backup.service", "Environment");
    const folder = onlySettingOf("fetchbox-backup.service", "ReadWritePaths");
    expect(variables).toMatch(new RegExp(`^BACKUP_FOLDER=${folder} BACKUP_KEEP=[1-9]\\d*$`));
  });
});
