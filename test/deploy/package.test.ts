import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import manifest from "../../package.json" with { type: "json" };
import { packagedFiles, ZSH_FOLDER } from "../../scripts/package/layout.ts";
import { BINARY, ensureBinary } from "../support/binary.ts";
import { unpackDebian } from "../support/debian.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

setDefaultTimeout(120_000);

const ROOT = join(import.meta.dir, "../..");
const EPOCH = "1700000000";
/** Any executable for Linux; it is much smaller than ours. */
const SMALL = "/bin/true";

const missing = ["dpkg-deb", "tar", "gzip", "du"].filter((tool) => Bun.which(tool) === null);
const reason = process.platform !== "linux" ? "they need Linux" : `these programs are missing: ${missing.join(", ")}`;
const canPack = process.platform === "linux" && missing.length === 0;
if (!canPack) console.warn(`the tests of the packages are skipped: ${reason}`);

/** Runs a command without the variables of the test servers, of which FetchBox would warn. */
function run(...command: string[]) {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, {
    cwd: ROOT,
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], SOURCE_DATE_EPOCH: EPOCH },
  });
  return { code: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

/** Runs the script; returns its result, and the files that it made by their names. */
function pack(...args: string[]) {
  const out = makeTemporaryFolder("packages");
  const done = run(process.execPath, "scripts/package.ts", `--out=${out}`, ...args);
  const files = readdirSync(out).toSorted();
  return { ...done, out, files, path: (end: string) => join(out, files.find((file) => file.endsWith(end)) ?? end) };
}

describe.if(canPack)("the Debian package", () => {
  const unpacked = makeTemporaryFolder("unpacked");
  let deb = "";

  beforeAll(async () => {
    await ensureBinary();
    const packed = pack("--deb", `--binary=${BINARY}`);
    expect([packed.code, packed.stderr]).toEqual([0, ""]);
    deb = packed.path(".deb");
    expect(run("dpkg-deb", "--extract", deb, unpacked).code).toBe(0);
  });

  test("has the version, the architecture and the dependencies", () => {
    const field = (name: string) => run("dpkg-deb", "--field", deb, name).stdout.trim();
    expect(["Package", "Version", "Architecture"].map(field)).toEqual([
      "fetchbox",
      manifest.version,
      process.arch === "arm64" ? "arm64" : "amd64",
    ]);
    expect(field("Depends").split(", ")).toEqual(["libc6 (>= 2.17)", "ca-certificates", "procps", "systemd"]);
    expect(Number(field("Installed-Size"))).toBeGreaterThan(statSync(BINARY).size / 1024);
  });

  test("has files of root with fixed modes and times", () => {
    const lines = run("dpkg-deb", "--contents", deb).stdout.trimEnd().split("\n");
    const rows = lines.map((line) => /^(\S+) (\S+) +\d+ (\S+ \S+) \.\/(.*)$/.exec(line) ?? []);
    expect(new Set(rows.map(([, , owner]) => owner))).toEqual(new Set(["root/root"]));
    expect(new Set(rows.map(([, , , time]) => time))).toEqual(new Set(["2023-11-14 22:13"]));
    const modes = Object.fromEntries(rows.map(([, mode = "", , , path = ""]) => [path, mode]));
    expect(modes).toMatchObject({
      "etc/fetchbox/": "drwxr-xr-x",
      "etc/fetchbox/.env": "-rw-------",
      "etc/fetchbox/fetchbox.toml": "-rw-r--r--",
      "usr/bin/fetchbox": "-rwxr-xr-x",
      "usr/sbin/fetchbox-backup": "-rwxr-xr-x",
      "usr/lib/systemd/system/fetchbox.service": "-rw-r--r--",
      "usr/lib/systemd/system/fetchbox-backup.service": "-rw-r--r--",
      "usr/lib/systemd/system/fetchbox-backup.timer": "-rw-r--r--",
      "usr/lib/sysusers.d/fetchbox.conf": "-rw-r--r--",
      "usr/lib/tmpfiles.d/fetchbox.conf": "-rw-r--r--",
      "usr/share/bash-completion/completions/fetchbox": "-rw-r--r--",
      "usr/share/man/man1/fetchbox.1": "-rw-r--r--",
      "usr/share/doc/fetchbox/docs/operate/runbook.md": "-rw-r--r--",
      "usr/share/doc/fetchbox/deploy/monitoring/fetchbox.rules.yml": "-rw-r--r--",
    });
  });

  test("keeps every file of /etc at an upgrade", () => {
    const conffiles = run("dpkg-deb", "--info", deb, "conffiles").stdout.trimEnd().split("\n");
    const etc = readdirSync(join(unpacked, "etc"), { recursive: true, withFileTypes: true });
    const files = etc.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
    expect(conffiles).toEqual(files.map((file) => file.slice(unpacked.length)).toSorted());
  });

  test.each(["postinst", "prerm", "postrm"])("has a %s that the shell reads", (name) => {
    const script = join(makeTemporaryFolder("script"), name);
    writeFileSync(script, run("dpkg-deb", "--info", deb, name).stdout);
    expect(run("sh", "-n", script)).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  test("has an executable that runs, with its own manual and completions, and a configuration that is valid", () => {
    const fetchbox = join(unpacked, "usr/bin/fetchbox");
    const read = (file: string) => readFileSync(join(unpacked, "usr/share", file), "utf8");
    expect(run(fetchbox, "man").stdout).toBe(read("man/man1/fetchbox.1"));
    expect(run(fetchbox, "completion", "bash").stdout).toBe(read("bash-completion/completions/fetchbox"));
    expect(run(fetchbox, "--version").stdout.trim()).toBe(manifest.version);
    const etc = join(unpacked, "etc/fetchbox");
    const checked = run(fetchbox, "config", "check", "--config", `${etc}/fetchbox.toml`, "--env-file", `${etc}/.env`);
    expect(checked).toMatchObject({ code: 0, stderr: "" });
  });

  const systemd = unpackDebian("systemd", ["systemd"]);
  const cannotOwn = process.getuid?.() === 0 ? undefined : "it needs root, to change the owner of files";
  const cannotInstall = "reason" in systemd ? systemd.reason : cannotOwn;
  if (cannotInstall !== undefined) console.warn(`the test of user and folders is skipped: ${cannotInstall}`);

  test.if(cannotInstall === undefined)("creates the user and the folders, and shows it the secrets", () => {
    const { root, env } = "root" in systemd ? systemd : { root: "", env: {} };
    const libraries = `${join(root, "lib/systemd")}:${env["LD_LIBRARY_PATH"] ?? ""}`;
    for (const name of ["passwd", "group"]) {
      writeFileSync(join(unpacked, "etc", name), name === "passwd" ? "root:x:0:0::/root:/bin/sh\n" : "root:x:0:\n");
    }
    mkdirSync(join(unpacked, "var/lib"), { recursive: true });
    for (const [program, ...args] of [["systemd-sysusers"], ["systemd-tmpfiles", "--create"]]) {
      const command = [join(root, "bin", program ?? ""), `--root=${unpacked}`, ...args, "fetchbox.conf"];
      expect(run("env", `LD_LIBRARY_PATH=${libraries}`, ...command)).toMatchObject({ code: 0 });
    }
    const [, uid = "", gid = ""] =
      /^fetchbox:[^:]*:(\d+):(\d+):.*:\/var\/lib\/fetchbox:/m.exec(
        readFileSync(join(unpacked, "etc/passwd"), "utf8"),
      ) ?? [];
    const facts = (path: string) => {
      const { uid: owner, gid: group, mode } = statSync(join(unpacked, path));
      return [owner, group, mode & 0o777];
    };
    expect(facts("var/lib/fetchbox")).toEqual([Number(uid), Number(gid), 0o750]);
    expect(facts("var/backups/fetchbox")).toEqual([Number(uid), Number(gid), 0o700]);
    expect(facts("etc/fetchbox/.env")).toEqual([0, Number(gid), 0o640]);
    expect(run("readlink", join(unpacked, "var/lib/fetchbox/config")).stdout).toBe("/etc/fetchbox\n");
  });
});

describe.if(canPack)("scripts/package.ts", () => {
  test("makes both packages and their sums, with the same bytes each time", () => {
    const [first, second] = [pack(`--binary=${SMALL}`), pack(`--binary=${SMALL}`)];
    expect([first.code, first.stderr, first.files.length]).toEqual([0, "", 3]);
    expect(first.files).toEqual(["SHA256SUMS", expect.stringMatching(/\.tar\.gz$/), expect.stringMatching(/\.deb$/)]);
    const sums = (out: string) => readFileSync(join(out, "SHA256SUMS"), "utf8");
    expect(sums(second.out)).toBe(sums(first.out));
    const checked = run("sh", "-c", `cd ${first.out} && sha256sum --check SHA256SUMS`);
    expect([checked.code, checked.stdout.match(/: OK$/gm)?.length]).toEqual([0, 2]);
  });

  test("puts the files of the Debian package into the tar.gz, below one folder", () => {
    const packed = pack("--tar", "--deb", `--binary=${SMALL}`);
    const inTar = run("tar", "--list", "--file", packed.path(".tar.gz")).stdout.trimEnd().split("\n");
    const inDeb = run("sh", "-c", `dpkg-deb --fsys-tarfile ${packed.path(".deb")} | tar --list`).stdout.trimEnd();
    const [folder = ""] = inTar;
    expect(folder).toMatch(/^fetchbox-[\d.]+-linux-(?:amd64|arm64)\/$/);
    const inUsr = inDeb.replaceAll("/usr/share/zsh/vendor-completions/", "/usr/share/zsh/site-functions/");
    expect(inTar.map((name) => `./${name.slice(folder.length)}`)).toEqual(inUsr.split("\n"));
    expect(inTar).toContain(`${folder}usr/share/zsh/site-functions/_fetchbox`);
  });

  const zsh = Bun.which("zsh");
  if (zsh === null) console.warn("the completion of the tar.gz is not loaded by zsh: there is no zsh");

  test.if(zsh !== null)("the tar.gz in /usr/local has its completion in a folder that zsh reads", () => {
    const folders = run("zsh", "-f", "-c", "print -l $fpath").stdout.split("\n");
    expect(folders).toContain(`/usr/local/${ZSH_FOLDER.local}`);
  });

  test("the shipped files name the places of the example and of the secrets in the packages", () => {
    const places = new Map(packagedFiles(SMALL).map(({ from, to }) => [from, `/${to}`]));
    const shown = (file: string) => readFileSync(join(ROOT, file), "utf8").replaceAll("\n# ", " ");
    expect(shown("config/fetchbox.toml")).toContain(` ${dirname(places.get("config/fetchbox.example.toml") ?? "")}/ `);
    expect(shown(".env.example")).toContain(` ${places.get(".env.example")}.`);
  });

  test("refuses a file that is not an executable for Linux, and names the remedy for a missing one", () => {
    const text = join(makeTemporaryFolder("text"), "fetchbox");
    copyFileSync(join(ROOT, "LICENSE"), text);
    const refused = pack("--tar", `--binary=${text}`);
    expect(refused).toMatchObject({
      code: 1,
      files: [],
      stderr: expect.stringContaining("not an executable for Linux"),
    });
    expect(pack(`--binary=${text}.missing`).stderr).toContain("does not exist; build it with: bun run build");
    expect(existsSync(`${text}.missing`)).toBe(false);
  });
});
