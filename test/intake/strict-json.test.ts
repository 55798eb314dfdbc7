import { describe, expect, test } from "bun:test";
import { parseStrictJson } from "../../src/intake/json/strict-json.ts";
import { StrictJsonError } from "../../src/intake/json/strict-json-error.ts";

const parse = (text: string) => parseStrictJson(new TextEncoder().encode(text));

function refusal(input: string | Uint8Array): { path: string; message: string } | undefined {
  try {
    parseStrictJson(typeof input === "string" ? new TextEncoder().encode(input) : input);
    return undefined;
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    return { path: error.path, message: error.message };
  }
}

describe("a violation that JSON.parse permits is refused with its place", () => {
  test.each([
    ['{"a":1,"a":2}', "/a"],
    ['{"a":1,"\\u0061":2}', "/a"],
    ['{"\\u0000":1,"\\u0000":2}', "/\u0000"],
    ['[{"":1},{"":2,"":3}]', "/1/"],
    ['{"a":{"x":[0,{"b~/c":1,"b~/c":1}]}}', "/a/x/1/b~0~1c"],
    ['{"__proto__":1,"__proto__":2}', "/__proto__"],
    ['{"1":1,"1":2}', "/1"],
    ['{"a":"\\":","b":"\\\\","b":1}', "/b"],
    ['{ "a" : 1 ,\n"a"\t: 2 }', "/a"],
    [`{"${"k".repeat(500)}":1,"${"k".repeat(500)}":2}`, `/${"k".repeat(99)}…`],
  ])("a name that is there twice: %s", (text, path) => {
    expect(refusal(text)).toEqual({ path, message: "is a duplicate; names must be unique within an object" });
  });

  test.each([
    ['{"a":["\\ud800"]}', "/a/0"],
    ['{"a":"\\udc00\\ud800"}', "/a"],
    ['{"b":1,"a\\ud83d":1}', "/a\ufffd"],
    ['{"a":"\\uD83D\\uD83D\\uDE00"}', "/a"],
  ])("a lone surrogate: %s", (text, path) => {
    expect(refusal(text)).toEqual({ path, message: "contains a lone surrogate" });
  });

  test.each([
    ['{"a":[1,1e400]}', "/a/1"],
    ["-1e999", ""],
    [`{"n":${"9".repeat(400)}}`, "/n"],
  ])("a number out of range: %s", (text, path) => {
    expect(refusal(text)).toEqual({ path, message: "is a number out of range" });
  });

  test("the 65th level", () => {
    const nested = (depth: number) => `${'{"a":['.repeat(depth / 2)}${"]}".repeat(depth / 2)}`;
    expect(refusal(nested(64))).toBeUndefined();
    expect(refusal(nested(66))?.message).toBe("is nested more than 64 deep");
    expect(refusal(nested(66))?.path).toBe("/a/0".repeat(32));
  });
});

test("names may be the same in different objects, and pairs of surrogates may be escaped", () => {
  expect(parse('{"a":{"a":1},"b":{"a":[{"a":2},{"a":"\\ud83d\\ude00"}]}}').value).toEqual({
    a: { a: 1 },
    b: { a: [{ a: 2 }, { a: "😀" }] },
  });
});

test("text that looks like a name or a surrogate inside a string is neither", () => {
  for (const value of ['":', ':"a":1', '\\ud800 as text: "\\ud800"', "\\", '\\"', '{"a":1,"a":2}']) {
    expect(parse(JSON.stringify({ a: value, b: [value] })).value).toEqual({ a: value, b: [value] });
  }
});

test("a member named __proto__ stays a member and changes no prototype", () => {
  const { value } = parse('{"__proto__":{"x":1}}');
  expect(Object.keys(value as object)).toEqual(["__proto__"]);
  expect((value as { x?: number }).x).toBeUndefined();
});

test.each([
  ["a byte order mark", [0xef, 0xbb, 0xbf, 0x7b, 0x7d], "must not start with a byte order mark"],
  ["a stray continuation byte", [0x22, 0x80, 0x22], "is not valid UTF-8"],
  ["an overlong slash", [0x22, 0xc0, 0xaf, 0x22], "is not valid UTF-8"],
  ["a surrogate in UTF-8", [0x22, 0xed, 0xa0, 0x80, 0x22], "is not valid UTF-8"],
  ["a character cut short", [0x22, 0xe2, 0x82], "is not valid UTF-8"],
])("%s is refused", (_, bytes, message) => {
  expect(refusal(Uint8Array.from(bytes))).toEqual({ path: "", message });
});

describe("text that is not JSON is refused with line and column, and not quoted", () => {
  test.each([
    ["", "expected a value at line 1, column 1, found the end of the text"],
    ['{"a" 1}', "expected ':' at line 1, column 6"],
    ['{"a":1,}', "expected a name at line 1, column 8"],
    ["{a:1}", "expected a name or '}' at line 1, column 2"],
    ["[1,]", "expected a value at line 1, column 4"],
    ["[,1]", "expected a value or ']' at line 1, column 2"],
    ["[1 2]", "expected ',' or ']' at line 1, column 4"],
    ['{"a":1 "b":2}', "expected ',' or '}' at line 1, column 8"],
    ['{"secret": Bearer x}', "expected a value at line 1, column 12"],
    ['["\\x"]', "expected a valid escape at line 1, column 3"],
    ['["a\nb"]', "expected an escape for a control character at line 1, column 4"],
    ['{\n  "a": [01]\n}', "expected ',' or ']' at line 2, column 10"],
    ["[1]\u00a0", "expected the end at line 1, column 4"],
    ["[1.]", "expected ',' or ']' at line 1, column 3"],
    ["[+1]", "expected a value or ']' at line 1, column 2"],
    ['"abc', "expected the end of a string at line 1, column 5, found the end of the text"],
  ])("%j", (text, message) => {
    expect(refusal(text)).toEqual({ path: "", message: `is not valid JSON: ${message}` });
  });
});

test("a hundred thousand brackets are refused without a stack overflow", () => {
  expect(refusal("[".repeat(100_000))?.message).toStartWith("is not valid JSON");
  expect(refusal('{"a":'.repeat(100_000))?.message).toStartWith("is not valid JSON");
  expect(refusal(`${"[".repeat(100_000)}${"]".repeat(100_000)}`)?.message).toBe("is nested more than 64 deep");
});

test("the text of a top-level member is the original one", () => {
  const { textOf } = parse('{"x":[{"m":3}], "m" : {"n": 1.0, "big":12345678901234567890, "s":"},"}\n, "y":{"m":2}}');
  expect(textOf("m")).toBe('{"n": 1.0, "big":12345678901234567890, "s":"},"}');
  expect(textOf("x")).toBe('[{"m":3}]');
  expect(textOf("y")).toBe('{"m":2}');
  expect(textOf("n")).toBeUndefined();
  expect(parse('{"\\u006d":7}').textOf("m")).toBe("7");
  expect(parse('[{"m":1}]').textOf("m")).toBeUndefined();
});

test("random documents are taken as JSON.parse takes them, and refused exactly where a name comes twice", () => {
  let seed = 12345;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return (seed >> 8) % below;
  };
  const pick = <T>(of: readonly T[]): T => of[random(of.length)] as T;
  const strings = ['"a"', '"b"', '"\\u0061"', '"\\\\"', '"\\""', '":"', '"é"', '""', '"__proto__"', '"1"'];
  let isTwice = false;
  const write = (depth: number): string => {
    const gap = pick(["", " ", "\n"]);
    const kind = depth > 4 ? 0 : random(4);
    if (kind < 2) return gap + pick([...strings, "1", "-0.5e3", "true", "null"]) + gap;
    const children = Array.from({ length: random(5) }, () => write(depth + 1));
    if (kind === 2) return `${gap}[${children.join(",") || gap}]`;
    const names = children.map(() => pick(strings));
    const decoded = names.map((name): unknown => JSON.parse(name));
    isTwice ||= new Set(decoded).size < names.length;
    return `${gap}{${children.map((child, at) => `${names[at]}${gap}:${child}`).join(",")}}`;
  };
  let refused = 0;
  for (let round = 0; round < 3000; round++) {
    isTwice = false;
    const text = write(0);
    const found = refusal(text);
    expect([text, found !== undefined]).toEqual([text, isTwice]);
    if (found === undefined) expect(JSON.stringify(parse(text).value)).toBe(JSON.stringify(JSON.parse(text)));
    else refused += 1;
  }
  expect(refused).toBeGreaterThan(300);
  expect(refused).toBeLessThan(2700);
});

describe("names are counted before anything is made of them", () => {
  /**
   * Names that share one hash in JavaScriptCore, so that an object of them takes time by the square of their number.
   */
  const colliding = (count: number, prefix = "x\uacc9\u962e\u4b93\u8bb8") =>
    Array.from({ length: count }, (_, i) => prefix + i.toString(36).padStart(4, "0"));
  const objectOf = (names: readonly string[]) => `{${names.map((name) => `"${name}":1`).join(",")}}`;
  const TOO_MANY = "has more than 10000 different member names";

  test("10,000 different ones are taken, one more is refused", () => {
    const names = Array.from({ length: 10_001 }, (_, i) => `name-${i}`);
    expect(refusal(objectOf(names.slice(1)))).toBeUndefined();
    expect(refusal(objectOf(names))).toEqual({ path: "", message: TOO_MANY });
    expect(refusal(`[${names.map((name) => objectOf([name])).join(",")}]`)?.message).toBe(TOO_MANY);
  });

  test("however often one stands there, it counts once, and escapes are other spellings of it", () => {
    const same = Array.from({ length: 20_000 }, (_, i) => (i % 2 === 0 ? '{"abc":1}' : '{"a\\u0062c":1}'));
    expect(refusal(`[${same.join(",")}]`)).toBeUndefined();
  });

  test("strings that are no names do not count", () => {
    const values = Array.from({ length: 20_000 }, (_, i) => `"value ${i}:"`);
    expect(refusal(`{"a":[${values.join(",")}]}`)).toBeUndefined();
  });

  test("200,000 of one hash are refused, as they are or with escapes", () => {
    expect(refusal(objectOf(colliding(200_000)))?.message).toBe(TOO_MANY);
    expect(refusal(objectOf(colliding(70_000, "x\\uacc9\\u962e\\u4b93\\u8bb8")))?.message).toBe(TOO_MANY);
  });

  test("and so are fewer of them again and again", () => {
    const objects = Array.from({ length: 20 }, () => objectOf(colliding(9000)));
    expect(refusal(`[${objects.join(",")}]`)?.message).toBe("has too many members with names outside ASCII");
  });

  test("values of one hash are taken as they are, however many, in whatever spelling", () => {
    const values = colliding(50_000);
    const escaped = values.map((value) => value.replaceAll("\uacc9", "\\uacc9"));
    const text = `{"a":${JSON.stringify(values)},"b":[["${escaped.join('"],["')}"]],"c":{"d":"\u00fc","__proto__":"\u00fc"}}`;
    const value = parse(text).value as { a: string[]; b: [string][]; c: object };
    expect(value.a.every((each, i) => each === values[i])).toBe(true);
    expect(value.b.every(([each], i) => each === values[i])).toBe(true);
    expect(Object.entries(value.c)).toEqual([
      ["d", "\u00fc"],
      ["__proto__", "\u00fc"],
    ]);
  });

  test("a manifest in another script is none of this", () => {
    const tags = (at: number) => Array.from({ length: 20 }, (_, i) => [`标签${i}`, `值${at}-${i}`]);
    const resources = Array.from({ length: 1000 }, (_, at) => ({ id: `图${at}`, tags: Object.fromEntries(tags(at)) }));
    expect(parse(JSON.stringify({ resources })).value).toEqual({ resources });
  });

  test("long texts outside ASCII are no trouble", () => {
    const texts = Array.from({ length: 50_000 }, (_, i) => `"画像の説明、長い文 ${i}"`);
    expect(refusal(`{"説明":[${texts.join(",")}]}`)).toBeUndefined();
  });

  test("text that is no JSON is refused as such", () => {
    expect(refusal('{"a":1,"b')?.message).toStartWith("is not valid JSON");
    expect(refusal('{"a\\')?.message).toStartWith("is not valid JSON");
  });
});
