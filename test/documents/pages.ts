import { readFileSync } from "node:fs";
import { dirname, join, normalize, resolve } from "node:path";
import { Glob } from "bun";

export const ROOT = resolve(import.meta.dir, "../..");

const PATTERNS = [
  "*.md",
  "src/**/*.md",
  "docs/**/*.md",
  "config/**/*.md",
  "deploy/**/*.md",
  "scripts/**/*.md",
  "clients/*/*.md",
];

/** All Markdown pages of the project, by their paths below its root. */
export const PAGES: readonly string[] = filesOf(PATTERNS);

/** The files of the project that fit any of some patterns, by their paths below its root. */
export function filesOf(patterns: readonly string[]): string[] {
  return patterns.flatMap((pattern) => [...new Glob(pattern).scanSync({ cwd: ROOT, dot: true })]).sort();
}

export function readPage(page: string): string {
  return readFileSync(join(ROOT, page), "utf8");
}

export interface Link {
  readonly page: string;
  readonly line: number;
  /** As it is written, for example `../guide/proxies.md#rotation`. */
  readonly text: string;
  /** The file that a relative link names, below the root; the page itself for `#anchor`. */
  readonly file: string;
  readonly anchor: string | undefined;
}

/** The relative links of a page. */
export function linksOf(page: string): Link[] {
  return proseLines(readPage(page)).flatMap(({ text, line }) =>
    [...text.matchAll(/\]\(([^()\s]+)\)|^\[[^\]]+\]:\s*(\S+)/g)]
      .map(([, inline, definition]) => inline ?? definition ?? "")
      .filter((target) => !/^[a-z][a-z0-9+.-]*:/i.test(target))
      .map((target) => linkTo(page, line, target)),
  );
}

function linkTo(page: string, line: number, text: string): Link {
  const [path = "", anchor] = text.split("#", 2);
  const file = path === "" ? page : normalize(join(dirname(page), path)).replace(/\/$/, "");
  return { page, line, text, file, anchor };
}

/** The anchors that GitHub gives to the headings of a page. */
export function anchorsOf(markdown: string): Set<string> {
  const anchors = new Set<string>();
  for (const { text } of proseLines(markdown, false)) {
    const heading = /^#{1,6}\s+(.*?)\s*#*$/.exec(text)?.[1];
    if (heading === undefined) continue;
    const slug = slugOf(heading);
    let anchor = slug;
    for (let copy = 1; anchors.has(anchor); copy++) anchor = `${slug}-${copy}`;
    anchors.add(anchor);
  }
  return anchors;
}

function slugOf(heading: string): string {
  return heading
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M}\p{Pc} -]/gu, "")
    .replaceAll(" ", "-");
}

/** The lines outside code blocks, with their numbers; `withoutCode` also blanks code within a line. */
function proseLines(markdown: string, withoutCode = true): { text: string; line: number }[] {
  let fence: string | undefined;
  const lines: { text: string; line: number }[] = [];
  for (const [index, text] of markdown.split("\n").entries()) {
    const mark = /^\s*(`{3,}|~{3,})/.exec(text)?.[1];
    if (mark !== undefined && (fence === undefined || mark.startsWith(fence))) {
      fence = fence === undefined ? mark : undefined;
    } else if (fence === undefined) {
      lines.push({ text: withoutCode ? text.replace(/`[^`]*`/g, "``") : text, line: index + 1 });
    }
  }
  return lines;
}

/** The code blocks of a page that are in a language, as they are written. */
export function codeBlocksOf(markdown: string, language: string): string[] {
  const blocks = markdown.matchAll(/^```(\w*)\n(.*?)^```$/gms);
  return [...blocks].filter(([, name]) => name === language).map(([, , text = ""]) => text);
}
