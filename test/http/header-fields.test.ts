import { describe, expect, test } from "bun:test";
import { HeaderFields } from "../../src/http/message/header-fields.ts";

const fields = new HeaderFields([
  ["server", "one"],
  ["x-tag", "a"],
  ["x-empty", ""],
  ["x-tag", "b, c"],
  ["__proto__", "polluted"],
]);

describe("header fields", () => {
  test("get joins the values of all lines with a comma", () => {
    expect(fields.get("server")).toBe("one");
    expect(fields.get("x-tag")).toBe("a, b, c");
  });

  test("all gives the value of each line", () => {
    expect(fields.all("x-tag")).toEqual(["a", "b, c"]);
    expect(fields.all("absent")).toEqual([]);
  });

  test("an empty value is a value, an absent field is undefined", () => {
    expect(fields.get("x-empty")).toBe("");
    expect(fields.has("x-empty")).toBe(true);
    expect(fields.get("absent")).toBeUndefined();
    expect(fields.has("absent")).toBe(false);
  });

  test("names that mean something to objects are names like others", () => {
    expect(fields.get("__proto__")).toBe("polluted");
    expect(fields.has("constructor")).toBe(false);
  });

  test("fields are counted and listed in the order in which they came", () => {
    expect(fields.count).toBe(5);
    expect([...fields].map(([name]) => name)).toEqual(["server", "x-tag", "x-empty", "x-tag", "__proto__"]);
  });
});
