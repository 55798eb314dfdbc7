import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { filesOf, ROOT, readPage } from "./pages.ts";

/** Texts of the program that operators look for by a page. */
const QUOTED: Readonly<Record<string, readonly string[]>> = {
  "docs/operate/runbook.md": [
    "the oldest task has been due for",
    "nothing runs:",
    "a pause of the queue",
    "it asked for a pause",
    "its breaker is open",
    "the full disk of queue.db",
    "there are no S3 credentials",
    "an upload is left open and cannot be aborted",
    "recovered from an unclean shutdown",
    "the process ended three times or more while these tasks ran: each runs alone now",
    "too few file descriptors",
    "this user may not use it",
    "as before",
    "the event loop was blocked for",
    "a proxy failed: it rests, the others of its pool are used",
    "its time cannot be written beside",
  ],
  "docs/operate/configuration.md": [
    "must be a whole number between ",
    "unknown key; did you mean ",
    "reloaded; the keys in needs_restart ",
    "reload failed for some parts",
    "reload failed: the configuration is invalid",
  ],
  "docs/operate/storage.md": ["this server is not atomic"],
  "docs/guide/first-session.md": ["was submitted before", "next: fetchbox dlq replay ", "objects are in "],
  "docs/reference/command-line.md": ["limited by", "nothing was cancelled"],
};

const SOURCE = filesOf(["src/**/*.ts"])
  .map((file) => readFileSync(join(ROOT, file), "utf8"))
  .join("\n");

test.each(Object.entries(QUOTED).flatMap(([page, texts]) => texts.map((text) => [page, text] as const)))(
  "%s quotes the program: %s",
  (page, text) => {
    expect(readPage(page)).toContain(text);
    expect(SOURCE.includes(text) ? text : "not in src").toBe(text);
  },
);
