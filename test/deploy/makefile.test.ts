import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import manifest from "../../package.json" with { type: "json" };

const ROOT = join(import.meta.dir, "../..");
const MAKEFILE = readFileSync(join(ROOT, "Makefile"), "utf8");
const TARGETS = [...MAKEFILE.matchAll(/^([a-z-]+):/gm)].map(([, name = ""]) => name);

const make = Bun.which("make");
if (make === null) console.warn("the tests of the Makefile are skipped: there is no make");

function run(...args: string[]) {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["make", "--no-print-directory", ...args], { cwd: ROOT });
  return { code: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

describe.if(make !== null)("the Makefile", () => {
  test("has the targets that developers expect, and lists each", () => {
    expect(TARGETS).toEqual(expect.arrayContaining(["dev-up", "dev-down", "run", "test", "check", "build", "image"]));
    const listed = run().stdout.trimEnd().split("\n");
    expect(listed.map((line) => line.split(" ")[0] ?? "")).toEqual(TARGETS);
    expect(/^\.PHONY: (.*)$/m.exec(MAKEFILE)?.[1]?.split(" ")).toEqual(TARGETS);
  });

  test.each(TARGETS)("%s has commands", (target) => {
    const planned = run("--dry-run", target);
    expect([planned.code, planned.stderr]).toEqual([0, ""]);
    expect(planned.stdout).not.toBe("");
  });

  test("runs scripts of package.json that exist", () => {
    const scripts = [...MAKEFILE.matchAll(/\$\(BUN\) run ([\w:-]+)/g)].map(([, script = ""]) => script);
    expect(scripts.length).toBeGreaterThan(3);
    expect(scripts.filter((script) => !(script in manifest.scripts))).toEqual([]);
  });

  test("labels the image with the version, and with a source that has no password", () => {
    const source = "https://alice:canary-of-the-remote@git.example.com/fetchbox.git";
    const git = ["GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=remote.origin.url", `GIT_CONFIG_VALUE_0=${source}`];
    const { stdout } = Bun.spawnSync(["env", ...git, "make", "--dry-run", "image"], { cwd: ROOT });
    const planned = stdout.toString();
    expect(planned).toContain(`--build-arg VERSION=${manifest.version} `);
    expect(planned).toMatch(/--build-arg REVISION=[0-9a-f]{40} /);
    expect(planned).toContain("--build-arg SOURCE=https://git.example.com/fetchbox.git ");
    expect(planned).not.toContain("canary");
  });
});
