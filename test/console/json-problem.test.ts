import { expect, test } from "bun:test";
import { jsonProblem } from "../../src/console/parts/lists/json-problem.ts";
import { syntaxErrorOf } from "../../src/intake/json/json-syntax-error.ts";
import { parseStrictJson } from "../../src/intake/json/strict-json.ts";
import { StrictJsonError } from "../../src/intake/json/strict-json-error.ts";

const BROKEN = [
  "",
  " \n ",
  '{"a":1,}',
  '{"a":1',
  '{\n "a": [1,2\r\n "b"]}',
  '{"a":"x\n"}',
  '{"a":"x',
  '{"a":"\\q"}',
  '{"a":"\\u00g0"}',
  '{"a":tru}',
  '{"a" 1}',
  '{"a":1} {"b":2}',
  "{'a':1}",
  "[01]",
  "[-]",
  "[1,]",
  "{,}",
  "[}",
  '{"a":1]',
  "\u00a0{}",
];

test("the console and the service see the same place and the same expected token in broken JSON", () => {
  for (const text of BROKEN) {
    const { line, column, message } = jsonProblem(text) ?? { line: 0, column: 0, message: "" };
    const service = syntaxErrorOf(text);
    expect([text, service]).toEqual([text, expect.stringContaining(`at line ${line}, column ${column}`)]);
    if (message.includes("string")) continue;
    const expected = service.replace(/ at line.*/, "");
    expect([text, message]).toEqual([text, expect.stringContaining(expected)]);
  }
});

test("valid JSON has no problem, also if it is deep or long", () => {
  for (const text of ['{"a":[1,-2.5e+3,true,{"b":"\\u00e9\\n","c":{}},[]],"d":null}\n', "0", '"x"', " [ ] "]) {
    expect([text, jsonProblem(text)]).toEqual([text, undefined]);
  }
  expect(jsonProblem("[".repeat(100_000) + "]".repeat(100_000))).toBeUndefined();
  expect(jsonProblem(`"${'x\\"'.repeat(1_000_000)}"`)).toBeUndefined();
});

/** The reason of the service to refuse a text. */
function refusalOf(text: string): StrictJsonError | undefined {
  try {
    parseStrictJson(new TextEncoder().encode(text));
    return undefined;
  } catch (error) {
    if (error instanceof StrictJsonError) return error;
    throw error;
  }
}

test("the console and the service see the same duplicate name", () => {
  for (const text of [
    '{"a":1,"a":1}',
    '{"a":{"b":1},\n "c":[{"b":2,\n  "b":3}]}',
    '{"a":[],"\\u0061":[]}',
    '{"":1,"":2}',
    '{"x":{"__proto__":1,"__proto__":2}}',
    '{"a":1,"a":2,"b":1,"b":2}',
  ]) {
    const refused = refusalOf(text);
    const { line, column, message } = jsonProblem(text) ?? { line: 0, column: 0, message: "" };
    expect([text, message]).toEqual([text, `the name ${refused?.message}`]);
    const [name = ""] = /^"[^"]*"/.exec(text.split("\n")[line - 1]?.slice(column - 1) ?? "") ?? [];
    expect([text, JSON.parse(name)]).toEqual([text, refused?.path.split("/").at(-1)]);
  }
  for (const text of ['{"a":{"a":{"b":1}},"b":[{"a":1},{"a":1}]}', '["a","a"]', '{"a":"b","b":"a"}']) {
    expect([text, jsonProblem(text), refusalOf(text)]).toEqual([text, undefined, undefined]);
  }
});

test("broken syntax comes before a duplicate name, as in the answers of the service", () => {
  expect(jsonProblem('{"a":1,"a":2,}')?.message).toBe("the text is not valid JSON: expected a name");
  expect(refusalOf('{"a":1,"a":2,}')?.message).toStartWith("is not valid JSON: expected a name");
});
