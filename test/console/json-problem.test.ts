import { expect, test } from "bun:test";
import { jsonProblem } from "../../src/console/parts/json-problem.ts";
import { syntaxErrorOf } from "../../src/intake/json/json-syntax-error.ts";

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
