import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { codeBlocksOf, ROOT, readPage } from "../documents/pages.ts";
import { startOrigin } from "../support/origin.ts";
import { startService } from "../support/service.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { builtClient } from "./built-client.ts";
import { PYTHON } from "./client-process.ts";

setDefaultTimeout(60_000);

/** The address and the token of the examples. */
const SERVER = "http://127.0.0.1:8080";
const TOKEN = "OPERATOR-SECRET-0123";
const ORIGIN = "https://cdn.example.com";

/** Runs a program in a language, and gives its output. */
type Run = (program: string) => Promise<string>;

interface Language {
  readonly name: string;
  readonly run: Run;
  readonly missing: readonly string[];
}

const missing = (...programs: string[]) => programs.filter((program) => Bun.which(program) === null);

const LANGUAGES: readonly Language[] = [
  { name: "sh", run: runShell, missing: missing("bash", "curl", "jq") },
  { name: "ts", run: runTypeScript, missing: [] },
  { name: "python", run: runPython, missing: PYTHON === null ? ["python3"] : [] },
];

async function runShell(program: string): Promise<string> {
  return await output(["bash", "-euo", "pipefail", "-c", program], ROOT);
}

/** As in a user's project: compiled against the package's own types, without any other. */
async function runTypeScript(program: string): Promise<string> {
  const folder = makeTemporaryFolder("example");
  await mkdir(join(folder, "node_modules/@fetchbox"), { recursive: true });
  await symlink(await builtClient(), join(folder, "node_modules/@fetchbox/client"));
  await Bun.write(join(folder, "example.ts"), program);
  await Bun.write(join(folder, "package.json"), '{"type":"module"}');
  const options = ["--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2023,dom", "--types", ""];
  await output([join(ROOT, "node_modules/.bin/tsc"), ...options, "example.ts"], folder);
  return await output([Bun.which("node") ?? process.execPath, "example.js"], folder);
}

async function runPython(program: string): Promise<string> {
  return await output([PYTHON ?? "", "-B", "-c", program], join(ROOT, "clients/python"));
}

async function output(command: readonly string[], cwd: string): Promise<string> {
  const child = Bun.spawn([...command], { cwd, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [code, stdout, stderr] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
  if (code !== 0 || stderr !== "") throw new Error(`${command[0]} ended with ${code}: ${stdout}\n${stderr}`);
  return stdout;
}

/** Runs the blocks of a page in a language as one program, against a service and an origin of their own. */
async function runPage(page: string, { name, run }: Language): Promise<string[]> {
  await using origin = await startOrigin();
  await using service = await startService({
    env: { FETCHBOX__SERVER__AUTH__TOKENS: `operator:${TOKEN}` },
    token: TOKEN,
  });
  origin.serve("/cover.jpg", "a picture");
  // It fails for the first time, and a replay succeeds.
  origin.answer("/page.html", (_request, response) => {
    response.writeHead(origin.hits("/page.html") === 1 ? 404 : 200).end();
  });
  const program = codeBlocksOf(readPage(page), name).join("\n");
  const lines = await run(program.replaceAll(SERVER, service.url).replaceAll(ORIGIN, origin.url));
  // The last jobs of a program may still run.
  const jobs = await service.pages<{ job_id: string }>("/operators/jobs?limit=100", "jobs");
  await Promise.all(jobs.map(({ job_id }) => service.finished(job_id)));
  return lines.trimEnd().split("\n");
}

describe.each(LANGUAGES)("the examples in $name", (language) => {
  if (language.missing.length > 0) {
    console.warn(`the examples in ${language.name} are left out: there is no ${language.missing.join(", ")}`);
    return;
  }

  test("docs/guide/clients.md", async () => {
    const lines = await runPage("docs/guide/clients.md", language);
    const at = lines.indexOf("partial");
    expect(at).toBeGreaterThan(2);
    expect(lines[0]).toBe("job accepted");
    const list = language.name === "sh" ? [] : ["1 job"];
    expect(lines.slice(at)).toEqual([
      "partial",
      "page.html DOWNLOAD_HTTP_404",
      "1 match",
      "1 replayed",
      "completed",
      ...list,
    ]);
  });

  const readme = { sh: undefined, ts: "clients/typescript/README.md", python: "clients/python/README.md" }[
    language.name
  ];
  if (readme === undefined) return;
  test(readme, async () => {
    const lines = await runPage(readme, language);
    expect([lines[0], lines.at(-1)]).toEqual(["job accepted", "completed"]);
  });
});
