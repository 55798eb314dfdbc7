import { expect, test } from "bun:test";
import { expandReferences, isReference } from "../../src/config/sources/tree.ts";
import { createProject, onlyProblem } from "./project.ts";

function expand(template: string, variables: Record<string, string> = {}) {
  return expandReferences(template, (name) => variables[name]);
}

test("references are filled in wherever they stand, once", () => {
  expect(expand("a-${X}-${Y_1}${X}", { X: "x", Y_1: "${X}" }).text).toBe("a-x-${X}x");
  expect(expand("plain $X {X}").text).toBe("plain $X {X}");
});

test("a doubled dollar writes a literal reference", () => {
  expect(expand("$${X} ${X}", { X: "x" })).toMatchObject({ text: "${X} x", hasReference: true });
  expect(expand("$${X}")).toMatchObject({ text: "${X}", hasReference: false, problem: undefined });
});

test("values are percent-encoded in the userinfo of a URL and nowhere else", () => {
  const variables = { USER: "a:b", PASSWORD: "p@s/s?#%", PORT: "80", PATH: "a/b" };
  expect(expand("http://${USER}:${PASSWORD}@host:${PORT}", variables).text).toBe(
    "http://a%3Ab:p%40s%2Fs%3F%23%25@host:80",
  );
  expect(expand("http://host/${PATH}", variables).text).toBe("http://host/a/b");
  expect(expand("${PASSWORD}", variables).text).toBe("p@s/s?#%");
});

test.each(["${", "${}", "${a b}", "${1X}", "${X", "a ${X"])("what is no reference is a problem: %s", (template) => {
  expect(expand(template, { X: "x" }).problem).toContain("write $${ for a literal ${");
});

test("only one whole reference counts as one", () => {
  expect(["${X}", "${_a1}"].every(isReference)).toBe(true);
  expect(["", "X", "${}", "a${X}", "${X}${Y}", "$${X}", "${X} "].some(isReference)).toBe(false);
});

test("a variable that is not set, or empty, is a problem with file, line and key", () => {
  const expected =
    "config/fetchbox.toml:2: storage.bucket: refers to ${BUCKET}, which is not set in the environment or .env";
  expect(onlyProblem(`[storage]\nbucket = "\${BUCKET}"`)).toBe(expected);
  expect(onlyProblem(`[storage]\nbucket = "\${BUCKET}"`, { BUCKET: "" })).toBe(expected);
  expect(onlyProblem(`[handlers.x]\nhandler = "default"\n[handlers.x.options]\na = ["\${NOPE}"]`)).toContain(
    "config/fetchbox.toml:4: handlers.x.options.a[0]: refers to ${NOPE}",
  );
});

test("references see .env, and the environment above it", () => {
  using project = createProject(`storage.bucket = "\${A}-\${B}"`);
  project.write("config/.env", "A=from-file\nB=from-file");
  expect(project.load({ env: { B: "from-env" } }).storage.bucket).toBe("from-file-from-env");
});

test("a message shows a refused value as it stands in the file, before references are filled in", () => {
  expect(onlyProblem(`storage.bucket = "?\${B}"`, { B: "secret" })).toContain(`got "?\${B}"`);
});
