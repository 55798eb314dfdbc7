import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { runProgram } from "../../src/cli/program.ts";
import { codeBlocksOf, PAGES, ROOT, readPage } from "./pages.ts";

const Package = Type.Object({ scripts: Type.Record(Type.String(), Type.String()) });

/** The names of the scripts of package.json. */
function packageScripts(): string[] {
  const json: unknown = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  Value.Assert(Package, json);
  return Object.keys(json.scripts);
}

async function helpOf(path: readonly string[]): Promise<string> {
  let text = "";
  const context = { env: {}, cwd: ROOT, out: (part: string) => (text += part), err: () => {} };
  await runProgram([...path, "--help"], context);
  return text;
}

interface CommandHelp {
  /** `dlq list` */
  readonly name: string;
  readonly isGroup: boolean;
  readonly options: ReadonlySet<string>;
}

/** Every command, by the help of each. */
async function commandsBelow(path: readonly string[] = []): Promise<CommandHelp[]> {
  const help = await helpOf(path);
  const [usage = "", list] = help.split(/^Commands:$/m);
  const options = new Set([...usage.matchAll(/--[a-z-]+/g)].map(([option]) => option));
  const names = [...(list ?? "").matchAll(/^ {2}([a-z]+)/gm)]
    .map(([, name = ""]) => name)
    .filter((name) => name !== "help");
  const below = await Promise.all(names.map((name) => commandsBelow([...path, name])));
  return [{ name: path.join(" "), isGroup: list !== undefined, options }, ...below.flat()];
}

const COMMANDS = new Map((await commandsBelow()).map((command) => [command.name, command]));

/** The command lines of a page that start `fetchbox`, in blocks of code. */
function commandLines(page: string): string[] {
  const blocks = ["sh", "console", ""].flatMap((language) => codeBlocksOf(readPage(page), language));
  return blocks
    .flatMap((block) => block.replaceAll("\\\n", " ").split("\n"))
    .flatMap((line) => line.replace(/(?:^|\s)#.*$/, "").split(/&&|\||;|<\(|\$\(/))
    .map((part) =>
      /^\s*(?:\$ |[A-Z_]+=\S+ |sudo -u fetchbox |exec )*(?:\.\/dist\/)?fetchbox((?:\s.*)?)$/.exec(part)?.[1]?.trim(),
    )
    .filter((line) => line !== undefined && !/^(?:serve )?>|^$|^-/.test(line))
    .map((line) => line ?? "");
}

/** The command that a line runs, for example `dlq list`; `undefined` if there is none. */
function commandOf(line: string): CommandHelp | undefined {
  const [first = "", second = ""] = line.split(/\s+/);
  const command = COMMANDS.get(`${first} ${second}`) ?? COMMANDS.get(first);
  return command?.isGroup === true ? undefined : command;
}

describe("commands of the README", () => {
  test("stand there to the letter", () => {
    const blocks = codeBlocksOf(readPage("README.md"), "sh");
    expect(blocks).toEqual([
      "npx --yes bun@1.4.5 install && npx --yes bun@1.4.5 run demo\n",
      "npx --yes bun@1.4.5 install && npx --yes bun@1.4.5 run check\n",
    ]);
  });

  test("are scripts of package.json, as those of every other page", () => {
    const named = PAGES.flatMap((page) =>
      [...readPage(page).matchAll(/bun(?:@[\d.]+)? run ([a-z][\w:-]*)/g)].map(([, script]) => `${script}`),
    );
    expect(named).toContain("demo");
    expect(named.filter((script) => !packageScripts().includes(script))).toEqual([]);
  });
});

describe("commands of fetchbox in the documents", () => {
  const lines = PAGES.filter((page) => page !== "CHANGELOG.md").flatMap((page) =>
    commandLines(page).map((line) => ({ page, line })),
  );

  test("exist", () => {
    expect(lines.length).toBeGreaterThan(30);
    expect(lines.filter(({ line }) => commandOf(line) === undefined)).toEqual([]);
  });

  test("have options that exist", () => {
    const unknown = lines.flatMap(({ page, line }) =>
      [...line.matchAll(/(?<=\s)--[a-z-]+/g)]
        .filter(([option]) => commandOf(line)?.options.has(option) !== true)
        .map(([option]) => `${page}: fetchbox ${line}: ${option}`),
    );
    expect(unknown).toEqual([]);
  });

  test("are all listed in docs/reference/command-line.md", () => {
    const page = readPage("docs/reference/command-line.md");
    const listed = [...page.matchAll(/^\| `([a-z]+(?: [a-z]+)?)(?: [^`]*)?` \|/gm)].map(([, name]) => name);
    const commands = [...COMMANDS.values()].filter(({ name, isGroup }) => name !== "" && !isGroup);
    expect(commands.length).toBeGreaterThan(20);
    expect(commands.map(({ name }) => name).filter((name) => !listed.includes(name))).toEqual([]);
  });
});
