import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { errorText, fileErrorText } from "../../src/std/error-text.ts";

function thrownBy(path: string): unknown {
  try {
    return readFileSync(path);
  } catch (error) {
    return error;
  }
}

test("an error of the file system is told in words, without its path", () => {
  expect(errorText(thrownBy("/none, 'x'.json"))).toStartWith("ENOENT: ");
  expect(fileErrorText(thrownBy("/none, 'x'.json"))).toBe("no such file or directory");
  expect(fileErrorText(thrownBy("/"))).toBe("illegal operation on a directory");
});

test("any other error keeps its message", () => {
  expect(fileErrorText(new Error("it contains no PEM certificate"))).toBe("it contains no PEM certificate");
  expect(errorText("a string")).toBe("a string");
});
