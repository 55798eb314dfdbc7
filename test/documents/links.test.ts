import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { anchorsOf, filesOf, linksOf, PAGES, ROOT, readPage } from "./pages.ts";

describe("links of the documents", () => {
  test("there are pages with links to look at", () => {
    expect(PAGES).toContain("README.md");
    expect(PAGES.flatMap(linksOf).length).toBeGreaterThan(50);
  });

  test("every relative link names a file or a folder that exists", () => {
    const broken = PAGES.flatMap(linksOf).filter(({ file }) => !existsSync(join(ROOT, file)));
    expect(broken.map(({ page, line, text }) => `${page}:${line} ${text}`)).toEqual([]);
  });

  test("every anchor of a link is a heading of its page", () => {
    const broken = PAGES.flatMap(linksOf).filter(
      ({ file, anchor }) => anchor !== undefined && PAGES.includes(file) && !anchorsOf(readPage(file)).has(anchor),
    );
    expect(broken.map(({ page, line, text }) => `${page}:${line} ${text}`)).toEqual([]);
  });

  test("anchors are made as GitHub makes them", () => {
    const page = "# `config check` · Why?\n## Why?\n## Why?\n```sh\n# no heading\n```\n### 7. Change the tokens\n";
    expect([...anchorsOf(page)]).toEqual(["config-check--why", "why", "why-1", "7-change-the-tokens"]);
  });

  test("a page links to every page of the documents", () => {
    const linked = new Set(
      PAGES.flatMap((page) => linksOf(page).filter(({ file }) => file !== page)).map((l) => l.file),
    );
    expect(PAGES.filter((page) => page.startsWith("docs/") && !linked.has(page))).toEqual([]);
  });
});

describe("names of files in the documents and in the source", () => {
  test("every path of the project that a page names in code exists", () => {
    const missing = PAGES.filter((page) => page !== "CHANGELOG.md").flatMap((page) =>
      [...readPage(page).matchAll(/`((?:src|docs|test|scripts|config|deploy|proto)\/[\w./-]+)`/g)]
        .map(([, path = ""]) => path)
        .filter((path) => !existsSync(join(ROOT, path)))
        .map((path) => `${page}: ${path}`),
    );
    // The user writes these two files.
    expect(missing.filter((line) => !/config\/(?:\.env|fetchbox\.toml)$/.test(line))).toEqual([]);
  });

  test("every page of the documents that another file names exists", () => {
    const folders = ["src", "config", "deploy", "scripts", "proto", ".github"].map((folder) => `${folder}/**/*`);
    const missing = filesOf(["*", ...folders])
      .filter((file) => /\.(?:ts|md|toml|ya?ml|service|proto|sql|sh|example)$|^(?:Dockerfile|Makefile)$/.test(file))
      .flatMap((file) =>
        [...readFileSync(join(ROOT, file), "utf8").matchAll(/(?<![\w./-])docs\/[\w/-]+\.md/g)]
          .filter(([page]) => !existsSync(join(ROOT, page)))
          .map(([page]) => `${file}: ${page}`),
      );
    expect(missing).toEqual([]);
  });
});
