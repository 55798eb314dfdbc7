import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureBinary, runBinary } from "../support/binary.ts";

setDefaultTimeout(60_000);

beforeAll(ensureBinary);

const run = (...args: string[]) => runBinary(args, { cwd: "/" });

/** Every command that does something, found by asking the help of each for the next. */
async function commands(path: readonly string[] = []): Promise<string[][]> {
  const { stdout } = await run(...path, "--help");
  const list = stdout.split(/^Commands:$/m)[1];
  if (list === undefined) return [[...path]];
  const names = [...list.matchAll(/^ {2}([a-z]+)/gm)].map(([, name = ""]) => name).filter((name) => name !== "help");
  return (await Promise.all(names.map((name) => commands([...path, name])))).flat();
}

/** What a shell offers at the end of a line. */
type Ask = (line: readonly string[]) => Promise<readonly string[]>;

const SHELLS: Readonly<Record<"bash" | "fish", (folder: string) => Ask>> = {
  bash: (folder) => async (line) => {
    const words = line.map((word) => `'${word}'`).join(" ");
    const script = `source ./script; COMP_WORDS=(${words}); COMP_CWORD=${line.length - 1}; _fetchbox; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return output(["bash", "--norc", "-c", script], folder);
  },
  fish: (folder) => async (line) =>
    output(["fish", "--no-config", "-c", `source ./script; complete -C '${line.join(" ")}'`], folder),
};

async function output(command: string[], cwd: string): Promise<string[]> {
  const child = Bun.spawn(command, { cwd, env: { PATH: process.env["PATH"] ?? "" }, stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  expect([command.join(" "), stderr]).toEqual([command.join(" "), ""]);
  const lines = stdout.split("\n").filter((line) => line !== "");
  // fish adds what each means.
  return lines.map((line) => line.split("\t")[0] ?? "").toSorted();
}

function isMissing(shell: string): boolean {
  if (Bun.which(shell) !== null) return false;
  console.log(`${shell} is not installed: its completion is not tried`);
  return true;
}

describe.each(["bash", "fish"] as const)("completion for %s", (shell) => {
  test.skipIf(isMissing(shell))("offers commands, options, words and files, each in its place", async () => {
    const folder = await mkdtemp(join(tmpdir(), "fetchbox-completion-"));
    try {
      await writeFile(join(folder, "script"), (await run("completion", shell)).stdout);
      await mkdir(join(folder, "urls"));
      await writeFile(join(folder, "urls.txt"), "");
      const ask = SHELLS[shell](folder);
      const offered = async (...line: string[]) =>
        (await ask(["fetchbox", ...line])).map((word) => word.replace(/\/$/, "")).toSorted();
      expect(await offered("")).toEqual(expect.arrayContaining(["serve", "dlq", "resources", "completion", "health"]));
      expect(await offered("ser")).toEqual(["serve"]);
      expect(await offered("dlq", "")).toEqual(["analyze", "list", "operations", "replay", "rm", "show", "stop"]);
      expect(await offered("dlq", "list", "--co")).toEqual(["--code"]);
      expect(await offered("jobs", "--status", "can")).toEqual(["cancelled"]);
      expect(await offered("dlq", "analyze", "--by", "")).toEqual(["code", "day", "host", "job_type"]);
      expect(await offered("jobs", "--tenant", "")).toEqual([]);
      expect(await offered("completion", "")).toEqual(["bash", "fish", "zsh"]);
      expect(await offered("submit", "ur")).toEqual(["urls", "urls.txt"]);
      expect(await offered("serve", "--config", "ur")).toEqual(["urls", "urls.txt"]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

test.skipIf(isMissing("zsh"))("completion for zsh is a script that zsh reads, with every command", async () => {
  const { stdout } = await run("completion", "zsh");
  const child = Bun.spawn(["zsh", "-f", "-n", "/dev/stdin"], { stdin: Buffer.from(stdout), stderr: "pipe" });
  expect([await child.stderr.text(), await child.exited]).toEqual(["", 0]);
  for (const path of await commands()) expect(stdout).toContain(`"${path.join(" ")}")`);
});

test("completion knows its shells, and ends with 2 for another one", async () => {
  const { code, stdout, stderr } = await run("completion", "tcsh");
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toContain("bash, zsh, fish");
});

test("every command has examples in its help, and lines that a terminal has room for", async () => {
  const all = await commands();
  expect(all.length).toBeGreaterThan(20);
  const helps = await Promise.all(all.map(async (path) => ({ path, ...(await run(...path, "--help")) })));
  for (const { path, code, stdout } of helps) {
    expect([path, code]).toEqual([path, 0]);
    expect([path, stdout]).toEqual([path, expect.stringMatching(/\nExamples:\n {2}\S/)]);
    expect([path, stdout]).toEqual([path, expect.stringContaining(`fetchbox ${path.join(" ")}`)]);
  }
});

test("a mistake has one name before it, and the command that was meant", async () => {
  const mistakes = [
    ["serve", "--nonsense"],
    ["status"],
    ["dlq", "nonsense"],
    ["completion", "tcsh"],
    ["sevre"],
    ["cancel"],
  ];
  for (const args of mistakes) {
    const { code, stderr } = await run(...args);
    expect([args, code, stderr]).toEqual([args, 2, expect.stringMatching(/^fetchbox: (?!error)/)]);
    expect(stderr).not.toMatch(/error:/i);
  }
  expect((await run("sevre")).stderr).toContain("unknown command 'sevre'; did you mean 'serve'?");
  expect(JSON.parse((await run("version", "--json")).stdout)).toEqual({
    version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    commit: expect.stringMatching(/^([0-9a-f]{12}(-dirty)?)?$/),
    bun: Bun.version,
    platform: `${process.platform}-${process.arch}`,
  });
});

describe("the manual page", () => {
  test("has every command with its options and examples", async () => {
    const { code, stdout } = await run("man");
    expect(code).toBe(0);
    for (const path of await commands()) {
      const help = (await run(...path, "--help")).stdout;
      const section = stdout.split(/^\.SS /m).find((part) => part.startsWith(`${path.join(" ")} `));
      expect([path, section === undefined]).toEqual([path, false]);
      for (const [option] of help.matchAll(/(?<=^ {2}(?:-\w, )?)--[a-z-]+/gm)) {
        if (option !== "--help") expect(section).toContain(`.B ${option.replaceAll("-", "\\-")}`);
      }
      const [, example = ""] = /^Examples:\n {2}(.*)$/m.exec(help) ?? [];
      expect(section?.replaceAll("\\-", "-").replaceAll("\\e", "\\")).toContain(example);
    }
  });

  test("is typeset by groff without a warning", async () => {
    if (Bun.which("groff") === null) {
      console.warn("the manual page was not typeset: groff is not installed");
      return;
    }
    const page = (await run("man")).stdout;
    const groff = Bun.spawn(["groff", "-man", "-Tutf8", "-ww", "-z"], { stdin: new Blob([page]), stderr: "pipe" });
    expect([await groff.exited, await groff.stderr.text()]).toEqual([0, ""]);
  });
});
