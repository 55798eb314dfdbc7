import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parse } from "smol-toml";
import { keyText, shownKey } from "../../src/config/sources/key-path.ts";
import { tomlLines } from "../../src/config/sources/toml-file.ts";
import { createProject } from "./project.ts";

const CORPUS = resolve(import.meta.dir, "../../../shared/corpora/toml-test/tests");
const isThere = existsSync(CORPUS);
if (!isThere) console.log(`skipped: the toml-test corpus is not in ${CORPUS}`);

/** The corpus' list for TOML 1.1, which the parser implements. */
function filesOf(kind: "valid" | "invalid"): string[] {
  const list = readFileSync(join(CORPUS, "files-toml-1.1.0"), "utf8").split("\n");
  return list.filter((name) => name.startsWith(`${kind}/`) && name.endsWith(".toml"));
}

function topLevelKeys(text: string): string[] {
  return Object.keys(parse(text, { integersAsBigInt: "asNeeded" })).map((key) => keyText([key]));
}

test.skipIf(!isThere)("every invalid document is refused as a whole, with its line", () => {
  using project = createProject();
  const files = filesOf("invalid");
  expect(files.length).toBeGreaterThan(400);
  for (const name of files) {
    project.write("config/fetchbox.toml", readFileSync(join(CORPUS, name)));
    const problems = project.problems();
    for (const { source } of problems) expect(source, name).toMatch(/^config\/fetchbox\.toml:\d+(:\d+)?$/);
    expect(problems, name).toMatchObject([{ key: "" }]);
  }
});

test.skipIf(!isThere)("every valid document is read: what is wrong with it are its keys", () => {
  using project = createProject();
  const files = filesOf("valid");
  expect(files.length).toBeGreaterThan(200);
  for (const name of files) {
    const bytes = readFileSync(join(CORPUS, name));
    project.write("config/fetchbox.toml", bytes);
    const keys = topLevelKeys(new TextDecoder().decode(bytes));
    if (keys.length === 0) {
      expect(project.load().queue.workers).toBe(8);
      continue;
    }
    const problems = project.problems();
    for (const { source } of problems) expect(source, name).toMatch(/^config\/fetchbox\.toml:\d+/);
    // The corpus has integers beyond 2^53, which no key takes: those files are refused as a whole.
    if (problems.some(({ message }) => message.startsWith("integer value cannot be represented"))) continue;
    for (const key of keys) expect(problems.map((problem) => problem.key)).toContain(shownText(key));
  }
});

/** How a message spells a key: masked where it could be a secret. */
function shownText(key: string): string {
  return key.startsWith('"') ? shownKey([JSON.parse(key) as string]) : key;
}

test.skipIf(!isThere)("every top-level key of a valid document has the line it first stands in", () => {
  for (const name of filesOf("valid")) {
    const text = new TextDecoder().decode(readFileSync(join(CORPUS, name)));
    const lines = tomlLines(text);
    for (const key of topLevelKeys(text)) {
      const line = lines.get(key) ?? 0;
      expect(line, `${name}: ${key}`).toBeGreaterThan(0);
      // A key with escapes does not stand there letter by letter.
      const isPlain = /^[\w-]+$/.test(key) && !text.includes("\\");
      if (isPlain) expect(text.split("\n")[line - 1], `${name}: ${key}`).toContain(key);
    }
  }
});
