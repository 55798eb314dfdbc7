import { expect, test } from "bun:test";
import { closeSync, constants, createReadStream, openSync } from "node:fs";
import { join, resolve } from "node:path";
import { createLog, type LogOptions } from "../../src/telemetry/log.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

function recorded(options: Partial<LogOptions> & { isTerminal?: boolean } = {}) {
  const lines: string[] = [];
  const { isTerminal = false, ...rest } = options;
  const log = createLog({
    level: "info",
    format: "json",
    ...rest,
    destination: { write: (line) => void lines.push(line), isTerminal },
  });
  return { log, lines };
}

test("a line is JSON with an ISO time, the level's name and the fields", () => {
  const { log, lines } = recorded();
  log.warn({ job_id: "j", task_id: 7 }, "careful");
  const { time, ...line } = JSON.parse(lines[0] ?? "");
  expect(line).toEqual({ level: "warn", job_id: "j", task_id: 7, msg: "careful" });
  expect(new Date(time).toISOString()).toBe(time);
  expect(lines[0]).toEndWith("}\n");
});

test("what is below the level is not written", () => {
  const { log, lines } = recorded({ level: "warn" });
  log.info("no");
  log.error("yes");
  expect(lines).toHaveLength(1);
});

test("secret headers and tokens are masked, in the line and one level below, in both spellings", () => {
  const { log, lines } = recorded();
  const secrets = { Authorization: "S1", cookie: "S2", "X-Api-Key": "S3", "set-cookie": "S4", token: "S5" };
  log.info({ headers: secrets, ...secrets, "Proxy-Authorization": "S6" }, "request");
  expect(lines[0]).not.toMatch(/S\d/);
  expect(lines[0]).toContain('"token":"***"');
});

test("an error is written with its cause", () => {
  const { log, lines } = recorded();
  log.error({ err: new Error("outer", { cause: new Error("inner") }) }, "failed");
  expect(JSON.parse(lines[0] ?? "").err.message).toBe("outer: inner");
});

test("on a terminal the log is a coloured line per event, elsewhere JSON", () => {
  const escape = String.fromCharCode(27);
  const terminal = recorded({ format: "auto", isTerminal: true });
  const plain = recorded({ format: "auto", isTerminal: true, hasColours: false });
  const pipe = recorded({ format: "auto" });
  const file = recorded({ format: "pretty" });
  for (const { log } of [terminal, plain, pipe, file]) log.info({ job_id: "j" }, "hello");
  expect(terminal.lines.join("")).toContain("hello");
  expect(terminal.lines.join("")).toContain(escape);
  expect(pipe.lines[0]).toStartWith('{"level":"info"');
  for (const { lines } of [plain, file]) expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} INFO {2}hello job_id=j\n$/);
});

test("a readable line stays one line, with key=value that can be told apart", () => {
  const { log, lines } = recorded({ format: "pretty" });
  const shown = (fields: object, message: string) => {
    log.warn(fields, message);
    expect(lines.at(-1)).toMatch(/^[^\n]+\n$/);
    return lines.at(-1)?.slice("00:00:00.000 ".length).trimEnd();
  };
  expect(shown({ a: "x y", b: 'say "x"', c: "", d: 'k="v"' }, "m")).toBe(
    String.raw`WARN  m a="x y" b="say \"x\"" c="" d="k=\"v\""`,
  );
  expect(shown({ n: 1.5, yes: true, no: null, list: ["p", "q"] }, "m")).toBe(
    'WARN  m n=1.5 yes=true no=null list="p, q"',
  );
  expect(shown({ failed: { tokens: "why not", "s3 keys": 2 } }, "m")).toBe(
    'WARN  m failed.tokens="why not" failed.s3 keys=2',
  );
  const moves = "two\nlines \u001b[2J\u009b1A\u202etxt.exe\u0007";
  expect(shown({ name: moves }, moves)).toBe(
    String.raw`WARN  two\nlines \u001b[2J\u009b1A\u202etxt.exe\u0007 name="two\nlines \u001b[2J\u009b1A\u202etxt.exe\u0007"`,
  );
});

test("a readable line of an error has its message and its place, and no stack", () => {
  const { log, lines } = recorded({ format: "pretty" });
  log.error({ err: Object.assign(new TypeError("no\nway"), { code: "E1" }) }, "failed");
  expect(lines[0]).toMatch(/ERROR failed err="TypeError: no\\nway" err\.at=\S*log\.test\.ts:\d+:\d+ err\.code=E1\n$/);
  log.error({ err: { type: "f", name: "IntakeError", message: "no", stack: CAUSED } }, "failed");
  expect(lines[1]).toEndWith(' failed err="IntakeError: no" err.at=/srv/config/own.ts:3:7\n');
});

const CAUSED = `IntakeError: no
    at plan (src/intake/job-plan.ts:84:14)
caused by: Error: boom
    at prepare (/srv/config/own.ts:3:7)
    at answer (src/intake/handlers/handler-thread.ts:51:39)`;

const SCRIPT = `
  const { createLog } = await import(${JSON.stringify(resolve("src/telemetry/log.ts"))});
  const log = createLog({ level: "info", format: process.env.FORMAT });
  for (let line = 0; line < Number(process.env.LINES ?? 5000); line++) log.info({ line }, "x".repeat(100));
  process.stderr.write("still here");
  // As soon as the event loop turns.
  setImmediate(() => process.kill(process.pid, "SIGKILL"));
`;

/** They fit into a pipe of 64 KiB, however late its reader reads. */
const PIPED_LINES = 300;

test.each(["json", "pretty"])("a killed process has lost no %s line", async (format) => {
  const child = Bun.spawn([process.execPath, "-e", SCRIPT], {
    env: { ...process.env, FORMAT: format, LINES: String(PIPED_LINES) },
    stdout: "pipe",
    stderr: "pipe",
  });
  const output = await new Response(child.stdout).text();
  expect(await child.exited).not.toBe(0);
  expect(output.split("\n").filter((line) => line.includes("x".repeat(100)))).toHaveLength(PIPED_LINES);
});

test.each(["head -c 100", "true"])("a reader that goes away (%s) does not end the process", async (reader) => {
  const child = Bun.spawn(["sh", "-c", `"$BUN" -e "$SCRIPT" | ${reader} >/dev/null`], {
    env: { ...process.env, FORMAT: "json", BUN: process.execPath, SCRIPT },
    stdout: "ignore",
    stderr: "pipe",
  });
  expect(await new Response(child.stderr).text()).toContain("still here");
});

test("a full disk does not end the process", async () => {
  const child = Bun.spawn(["sh", "-c", `"$BUN" -e "$SCRIPT" >/dev/full`], {
    env: { ...process.env, FORMAT: "json", BUN: process.execPath, SCRIPT },
    stdout: "ignore",
    stderr: "pipe",
  });
  expect(await new Response(child.stderr).text()).toContain("still here");
});

const FLOOD = `
  const { createLog } = await import(${JSON.stringify(resolve("src/telemetry/log.ts"))});
  const log = createLog({ level: "info", format: "json" });
  for (let line = 0; line < 40000; line++) log.info({ line }, "x".repeat(100));
  log.error("the last of them");
  // The loop turns although nobody reads.
  setTimeout(() => process.stderr.write("turned"), 10);
  process.stdin.resume().once("end", () => process.exit(0));
`;

test("a reader that stands still holds nothing up; what it missed is counted where it is missing", async () => {
  const pipe = join(makeTemporaryFolder("log"), "pipe");
  Bun.spawnSync(["mkfifo", pipe]);
  // Opening one end waits for the other; the first does not.
  const first = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
  const stdout = openSync(pipe, constants.O_WRONLY);
  const reader = openSync(pipe, constants.O_RDONLY);
  closeSync(first);
  const child = Bun.spawn([process.execPath, "-e", FLOOD], { stdin: "pipe", stdout, stderr: "pipe" });
  closeSync(stdout);
  expect(new TextDecoder().decode((await child.stderr.getReader().read()).value)).toBe("turned");

  let text = "";
  for await (const piece of createReadStream(pipe, { fd: reader, encoding: "utf8" })) {
    text += String(piece);
    if (text.includes("dropped_lines") && !child.killed && child.exitCode === null) void child.stdin.end();
  }
  const lines: Record<string, unknown>[] = text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  const dropped = Number(lines.at(-1)?.["dropped_lines"]);
  expect(dropped).toBeGreaterThan(10_000);
  expect(lines.length - 1 + dropped).toBe(40_001);
  expect(lines.slice(0, -1).every(({ line }, i) => line === i)).toBe(true);
  expect(await child.exited).toBe(0);
});

const TERMINAL = `
import os, pty, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], "-e", os.environ["FLOOD"]])
# Nobody reads the terminal; the program says on another way that its loop turns.
with open(sys.argv[2]) as turned:
    print(turned.read(), flush=True)
text = b""
while b"dropped_lines" not in text:
    text += os.read(fd, 65536)
print("told", flush=True)
os.kill(pid, 9)
`;

test("a terminal that nobody reads (Ctrl-S) holds nothing up", async () => {
  const turned = join(makeTemporaryFolder("log"), "turned");
  Bun.spawnSync(["mkfifo", turned]);
  const flood = FLOOD.replace(
    'process.stderr.write("turned")',
    `require("fs").writeFileSync(${JSON.stringify(turned)}, "turned")`,
  );
  const child = Bun.spawn(["python3", "-c", TERMINAL, process.execPath, turned], {
    env: { ...process.env, FLOOD: flood },
    stdout: "pipe",
    stderr: "inherit",
  });
  expect(await new Response(child.stdout).text()).toBe("turned\ntold\n");
});

test("no control character and no mark of bidirectional text reaches a line raw", () => {
  const raw = "\u001b[31m\u0007\r\u009b2J\u007f\u202e\u2066\u061c\u2028 \\u001b \\\\ \b";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const unseen = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;
  for (const format of ["json", "pretty"] as const) {
    const { log, lines } = recorded({ format });
    log.warn({ resource_id: raw, deep: { [raw]: raw }, err: new Error(raw) }, raw);
    const text = lines.join("");
    expect([format, unseen.exec(text)?.[0]]).toEqual([format, undefined]);
    expect(text).toContain("\\u009b2J");
    expect(text).toContain("\\u202e");
    if (format === "json") expect(JSON.parse(text)).toMatchObject({ msg: raw, resource_id: raw, deep: { [raw]: raw } });
  }
  // On a terminal our own colours stay.
  const { log, lines } = recorded({ format: "pretty", isTerminal: true });
  log.warn(raw);
  const colours = new RegExp(`${String.fromCharCode(27)}\\[\\d+m`, "g");
  expect(lines.join("")).toMatch(colours);
  expect(unseen.exec(lines.join("").replaceAll(colours, ""))?.[0]).toBeUndefined();
});
