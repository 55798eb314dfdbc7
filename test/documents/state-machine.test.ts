import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { JOB_STATUSES } from "../../src/jobs/job.ts";
import { TASK_STATES } from "../../src/jobs/task.ts";
import { PAGES, ROOT, readPage } from "./pages.ts";

const PAGE = readPage("docs/develop/state-machine.md");
const [TASKS = "", JOBS = ""] = PAGE.split("\n## Jobs\n");
const EVENTS = readFileSync(join(ROOT, "proto/fetchbox/v1/event.proto"), "utf8");

/** The states of the first diagram of a text, but for its start and its end. */
function statesOf(text: string): Set<string> {
  const diagram = /```mermaid\n(.*?)```/s.exec(text)?.[1] ?? "";
  return new Set([...diagram.matchAll(/^\s+(\w+) -->|--> (\w+):/gm)].map(([, from, to]) => from ?? to ?? ""));
}

describe("docs/develop/state-machine.md", () => {
  test("draws and explains every state of a task", () => {
    expect([...statesOf(TASKS)].toSorted()).toEqual(TASK_STATES.toSorted());
    for (const state of TASK_STATES) expect(TASKS).toMatch(new RegExp(`^\\| \`${state}\` \\| \\S`, "m"));
  });

  test("draws and explains every status of a job", () => {
    expect([...statesOf(JOBS)].toSorted()).toEqual(["staged", ...JOB_STATUSES].toSorted());
    for (const status of ["staged", ...JOB_STATUSES])
      expect(JOBS).toMatch(new RegExp(`^\\| \`${status}\` \\| \\S`, "m"));
  });

  test("names every event of the outbox", () => {
    const [, kinds = ""] = /oneof kind \{(.*?)\}/s.exec(EVENTS) ?? [];
    const names = [...kinds.matchAll(/ (\w+) = \d+;/g)].map(([, name = ""]) =>
      name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()),
    );
    expect(names.length).toBeGreaterThan(5);
    expect(names.filter((name) => !PAGE.includes(`\`${name}\``))).toEqual([]);
  });
});

test("every function that a page places in a file is in that file", () => {
  const placed = PAGES.flatMap((page) =>
    [...readPage(page).matchAll(/`(\w+)`(?:, `(\w+)`)? in\s+`(src\/[\w./-]+\.ts)`/g)].flatMap(
      ([, first, second, file = ""]) =>
        [first, second].filter((name) => name !== undefined).map((name) => ({ page, name, file })),
    ),
  );
  expect(placed.length).toBeGreaterThan(10);
  const missing = placed.filter(({ name, file }) => !readFileSync(join(ROOT, file), "utf8").includes(`${name}(`));
  expect(missing).toEqual([]);
});
