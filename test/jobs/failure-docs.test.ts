import { expect, test } from "bun:test";
import { join } from "node:path";
import { FAILURE_CLASSES } from "../../src/jobs/failure.ts";

const DOCS = await Bun.file(join(import.meta.dir, "../../docs/reference/failures.md")).text();

test.each(Object.entries(FAILURE_CLASSES))("docs/reference/failures.md explains %s as %s", (code, failureClass) => {
  expect(DOCS).toMatch(new RegExp(`^\\| \`${code}\` \\| ${failureClass} \\| .+ \\|.*\\|$`, "m"));
});

test("docs/reference/failures.md explains no code that there is not", () => {
  const codes = [...DOCS.matchAll(/`((?:DOWNLOAD|UPLOAD|STORAGE|PROXY|TASK|HANDLER)_[A-Z_]+)`/g)].map(
    ([, code]) => code ?? "",
  );
  const known = Object.keys(FAILURE_CLASSES);
  expect(codes.filter((code) => !known.includes(code) && !code.startsWith("DOWNLOAD_HTTP"))).toEqual([]);
});
