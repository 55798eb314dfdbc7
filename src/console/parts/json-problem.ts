/** What may come next in a JSON text: each kind of token, and what it leads to. */
const NEXT = {
  "a value": { "{": "a name or '}'", "[": "a value or ']'", value: "after" },
  "a value or ']'": { "{": "a name or '}'", "[": "a value or ']'", value: "after", "]": "after" },
  "a name or '}'": { name: "':'", "}": "after" },
  "a name": { name: "':'" },
  "':'": { ":": "a value" },
  "',' or '}'": { ",": "a name", "}": "after" },
  "',' or ']'": { ",": "a value", "]": "after" },
  "the end": {},
} as const;
type Expected = keyof typeof NEXT;

const BLANKS = /[ \t\n\r]*/y;
const SCALAR = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?/y;
/** A string without its last quote. */
const STRING = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[\dA-Fa-f]{4})[^"\\\u0000-\u001f]*)*/y;

/**
 * The place where a text stops being JSON, and the expected token; `undefined` for valid JSON. The errors of
 * `JSON.parse` have a place in some browsers only.
 */
export function jsonProblem(
  text: string,
): { readonly line: number; readonly column: number; readonly message: string } | undefined {
  const found = firstProblem(text);
  if (found === undefined) return undefined;
  const before = text.slice(0, found.at).split("\n");
  return {
    line: before.length,
    column: (before.at(-1)?.length ?? 0) + 1,
    message: `the text is not valid JSON: expected ${found.expected}${found.at < text.length ? "" : ", found the end"}`,
  };
}

function firstProblem(text: string): { readonly at: number; readonly expected: string } | undefined {
  const open: string[] = [];
  let at = 0;
  let expected: Expected = "a value";
  const take = (pattern: RegExp): number => {
    pattern.lastIndex = at;
    const { length } = pattern.exec(text)?.[0] ?? "";
    at += length;
    return length;
  };
  for (;;) {
    take(BLANKS);
    if (expected === "the end") return at === text.length ? undefined : { at, expected };
    const char = text.charAt(at);
    const next: Partial<Record<string, Expected | "after">> = NEXT[expected];
    const word = "name" in next ? "name" : "value";
    const kind = char in next ? char : word;
    const isString = char === '"';
    if (next[kind] === undefined || (kind === "name" && !isString)) return { at, expected };
    if (kind === char) at += 1;
    else if (take(isString ? STRING : SCALAR) === 0) return { at, expected };
    if (kind !== char && isString) {
      if (text.charAt(at) !== '"') return { at, expected: "the end of the string or a valid escape" };
      at += 1;
    }
    if (char === "{" || char === "[") open.push(char === "{" ? "}" : "]");
    if (char === "}" || char === "]") open.pop();
    const after = next[kind];
    expected = after === "after" ? afterValue(open.at(-1)) : after;
  }
}

function afterValue(closer: string | undefined): Expected {
  if (closer === undefined) return "the end";
  return closer === "}" ? "',' or '}'" : "',' or ']'";
}
