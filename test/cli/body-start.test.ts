import { expect, test } from "bun:test";
import { bodyStartText } from "../../src/cli/terminal/body-start.ts";

const shown = (bytes: string | Uint8Array, width?: number) =>
  bodyStartText(Buffer.from(bytes as string).toString("hex"), width);

test("text is shown in a few lines, without characters that a terminal obeys", () => {
  expect(shown('{"error":\t"denied"}\r\n\n\u001b[31mred\u001b[0m \u202egpj')).toBe(
    '  {"error": "denied"}\n  red ?gpj\n',
  );
  expect(shown("1\n2\n3\n4\n5\n")).toBe("  1\n  2\n  3\n  4\n  5\n");
  expect(shown("1\n2\n3\n4\n5\n6")).toBe("  1\n  2\n  3\n  4\n  5\n  …\n");
  expect(shown("x".repeat(512), 20)).toBe(`  ${"x".repeat(17)}…\n`);
});

test("text whose last character is cut is text, and other bytes are hexadecimal digits", () => {
  expect(shown(Buffer.from("no 語").subarray(0, 5))).toBe("  no\n");
  expect(shown(Uint8Array.of(0x1f, 0x8b, 8))).toBe("  1f 8b 08\n");
  expect(shown("a\u0000b")).toBe("  61 00 62\n");
  expect(shown(new Uint8Array(49))).toBe(`${`  ${"00 ".repeat(16).trim()}\n`.repeat(3)}  …\n`);
});
