import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { appendFileSync, chmodSync, cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BINARY, ensureBinary } from "../support/binary.ts";
import { unpackDebian } from "../support/debian.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/peers.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { ROOT, readPage } from "./pages.ts";
import { type Outcome, Shell } from "./shell.ts";

setDefaultTimeout(120_000);

/** Blocks that cannot run here, by a part of their text, with the reason. */
const NOT_RUN: readonly (readonly [part: string, reason: string])[] = [
  ["run check", "the tests are a part of it"],
  ["FETCHBOX__STORAGE__BACKEND=s3", "it needs a bucket and keys; test/s3 runs these commands against Ceph"],
  ["systemctl", "it needs systemd and root"],
  ["sudo -u fetchbox", "it needs root and the user of the service"],
  ["iostat", "it needs sysstat, and watches the machine for 25 s"],
];

/** Commands of the pages, and what stands for them here. */
const INSTEAD: readonly (readonly [command: string, instead: string, reason: string])[] = [
  ["npx --yes bun@1.4.5 install && npx --yes bun@1.4.5 run demo", "bun scripts/demo.ts", "all is installed and built"],
  ["npx --yes bun@1.4.5", "bun", "this is the one that runs the tests"],
];

/** A command that is repeated until it prints what the page shows: the text before it says to wait. */
const REPEATED = "jq -r .status";

/** The proxy pool of the runbook; no download uses it. */
const POOL = '\n[proxies.residential-us]\nendpoints = ["http://127.0.0.1:9"]\n';

interface Page {
  readonly page: string;
  /** What the reader of the page has or has done already. */
  readonly before?: string;
  /** The exit code of a block that does not end with 0. */
  readonly codes?: Readonly<Record<string, number>>;
}

const PAGES_RUN: readonly Page[] = [
  { page: "README.md" },
  // One of the seven resources is missing.
  { page: "docs/guide/first-session.md", codes: { "run sample.json": 1 } },
  { page: "docs/guide/submitting.md", before: "export FETCHBOX=$FETCHBOX_SERVER TOKEN=none; fetchbox pause" },
  { page: "docs/guide/handlers.md", before: `jq '.metadata.gallery = "spring"' sample.json > manifest.json` },
  { page: "docs/reference/api.md", before: "JOB=$(fetchbox jobs --status partial --json | jq -r .jobs[0].job_id)" },
  {
    page: "docs/reference/command-line.md",
    before: `fetchbox cancel --all --yes; fetchbox resume; mkdir -p ~/.zsh/completions ~/.config/fish/completions
      jq '.resources |= .[:3]' sample.json > manifest.json; jq -r '.resources[].url' manifest.json > urls.txt`,
  },
  { page: "docs/operate/runbook.md" },
];

interface Step {
  readonly commands: string;
  /** `undefined` if the page does not show it. */
  readonly output?: string;
}

/** The commands of a page, block by block; in a `console` block each command has its output. */
function stepsOf(page: string): Step[] {
  const blocks = readPage(page).matchAll(/^```(sh|console)\n(.*?)^```$/gms);
  return [...blocks].flatMap(([, language, text = ""]) => {
    if (language === "sh") return [{ commands: text }];
    return text
      .split(/^\$ /m)
      .slice(1)
      .map((step) => {
        const [commands = "", ...output] = step.split("\n");
        return { commands, output: output.join("\n").trim() };
      });
  });
}

const ID = /\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b/g;

/** Output without what differs from one run to the next. */
function withoutChance(output: string): string {
  return output
    .replace(/\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)? UTC/g, "TIME")
    .replace(/\b\d+(\.\d+)? m?s\b/g, "DURATION")
    .replace(/ +/g, " ")
    .trim();
}

/** A reader who follows one page after the other, in one shell and one folder. */
class Reader {
  readonly folder = makeTemporaryFolder("session");
  readonly #shell: Shell;
  readonly #ports: ReadonlyMap<string, number>;
  /** The ids of this session, by the ids that the pages show. */
  readonly #ids = new Map<string, string>();

  constructor(tools: string, ports: ReadonlyMap<string, number>) {
    this.#ports = ports;
    mkdirSync(join(this.folder, "dist"));
    symlinkSync(BINARY, join(this.folder, "dist/fetchbox"));
    for (const name of ["scripts", "node_modules"]) symlinkSync(join(ROOT, name), join(this.folder, name));
    cpSync(join(ROOT, "config"), join(this.folder, "config"), { recursive: true });
    appendFileSync(join(this.folder, "config/fetchbox.toml"), POOL);
    const server = `127.0.0.1:${ports.get("8080")}`;
    this.#shell = new Shell(this.folder, {
      PATH: `${tools}:${process.env["PATH"]}`,
      HOME: this.folder,
      TZ: "UTC",
      FETCHBOX__SERVER__BIND_ADDR: server,
      FETCHBOX_SERVER: `http://${server}`,
      FETCHBOX__EGRESS__ALLOW_PRIVATE: "127.0.0.0/8",
    });
  }

  /** Text of a page, with the ports, ids and folders of this session. */
  #here(text: string): string {
    let here = text.replaceAll("/srv/fetchbox/", `${this.folder}/`);
    for (const [command, instead] of INSTEAD) here = here.replaceAll(command, instead);
    for (const [port, own] of this.#ports) here = here.replaceAll(new RegExp(`\\b${port}\\b`, "g"), `${own}`);
    return here.replaceAll(ID, (id) => this.#ids.get(id) ?? id);
  }

  run(commands: string): Promise<Outcome> {
    return this.#shell.run(this.#here(commands));
  }

  /** Runs a command until it prints what the page shows, if it must be repeated. Returns both texts. */
  async show({ commands, output = "" }: Step): Promise<{ shown: string; wanted: string }> {
    const once = async () => {
      const { output: shown } = await this.run(commands);
      this.#learnIds(output, shown);
      return { shown: withoutChance(shown), wanted: withoutChance(this.#here(output)) };
    };
    if (!commands.includes(REPEATED)) return once();
    return eventually(`the output of ${commands}`, async () => {
      const texts = await once();
      return texts.shown === texts.wanted ? texts : undefined;
    });
  }

  #learnIds(output: string, shown: string): void {
    const own = shown.match(ID) ?? [];
    for (const [at, id] of (output.match(ID) ?? []).entries()) {
      const known = own[at];
      if (known !== undefined && !this.#ids.has(id)) this.#ids.set(id, known);
    }
  }

  async close(): Promise<void> {
    await this.#shell[Symbol.asyncDispose]();
  }
}

/** A folder with `bun`, `curl` and `jq`; those that the machine lacks come from Debian's packages. */
function findTools(): string | { readonly reason: string } {
  const folder = makeTemporaryFolder("tools");
  symlinkSync(process.execPath, join(folder, "bun"));
  for (const tool of ["curl", "jq"].filter((name) => Bun.which(name) === null)) {
    const unpacked = unpackDebian(tool, [tool]);
    if ("reason" in unpacked) return unpacked;
    const program = `${unpacked.root}/usr/bin/${tool}`;
    writeFileSync(
      join(folder, tool),
      `#!/bin/sh\nLD_LIBRARY_PATH='${unpacked.env["LD_LIBRARY_PATH"]}' exec '${program}' "$@"\n`,
    );
    chmodSync(join(folder, tool), 0o755);
  }
  return folder;
}

const tools = Bun.which("bash") === null ? { reason: "there is no bash" } : findTools();
if (typeof tools !== "string") console.log(`skipped: the commands of the documents: ${tools.reason}`);

describe.skipIf(typeof tools !== "string")("commands of the documents, run one after the other", () => {
  let reader: Reader;

  beforeAll(async () => {
    await ensureBinary();
    const ports = new Map([
      ["8080", await freePort()],
      ["9100", await freePort()],
    ]);
    reader = new Reader(typeof tools === "string" ? tools : "", ports);
  });

  afterAll(() => reader.close());

  for (const { page, before, codes = {} } of PAGES_RUN) {
    test(page, async () => {
      if (before !== undefined) expect(await reader.run(before)).toMatchObject({ code: 0 });
      for (const step of stepsOf(page).filter(({ commands }) => !isLeftOut(commands))) {
        const wanted = Object.entries(codes).find(([part]) => step.commands.includes(part))?.[1] ?? 0;
        if (step.output === undefined) {
          const { code, output } = await reader.run(step.commands);
          expect({ commands: step.commands, code, output }).toMatchObject({ code: wanted });
          if (step.commands.includes("run demo")) expect(output).toContain("6 stored, 1 failed");
        } else {
          const texts = await reader.show(step);
          expect(texts.shown).toBe(texts.wanted);
        }
      }
    });
  }
});

function isLeftOut(commands: string): boolean {
  return NOT_RUN.some(([part]) => commands.includes(part));
}

test("every reason to leave a block out applies to a block", () => {
  const all = PAGES_RUN.flatMap(({ page }) => stepsOf(page));
  const applies = (part: string) => all.some(({ commands }) => commands.includes(part));
  expect([...NOT_RUN, ...INSTEAD].map(([part]) => part).filter((part) => !applies(part))).toEqual([]);
});
