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

/** A member of an object, or an element of an array: its name and the place of its value in the text. */
interface JsonPart {
  /** The decoded name of a member; empty for an element. */
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

interface Problem {
  readonly at: number;
  readonly message: string;
}

/** An open object or array. */
interface Frame {
  readonly closer: string;
  /** Names of the members so far; `undefined` for an array. */
  readonly names: Set<string> | undefined;
}

/**
 * The place where a text stops being JSON, and the expected token, or else the first name that an object has twice;
 * `undefined` for JSON without either. The errors of `JSON.parse` have a place in some browsers only, and it takes the
 * last of two members with one name. The service refuses both.
 */
export function jsonProblem(
  text: string,
): { readonly line: number; readonly column: number; readonly message: string } | undefined {
  const problem = new JsonScan(text).run();
  if (problem === undefined) return undefined;
  const before = text.slice(0, problem.at).split("\n");
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1, message: problem.message };
}

/** The members of an object, or the elements of an array, in a text without a problem. */
export function jsonParts(text: string): readonly JsonPart[] {
  const scan = new JsonScan(text);
  scan.run();
  return scan.parts;
}

/** Reads a JSON text once, without recursion. */
class JsonScan {
  /** The parts of the outermost value. */
  readonly parts: JsonPart[] = [];
  readonly #text: string;
  readonly #open: Frame[] = [];
  #at = 0;
  #expected: Expected = "a value";
  /** The current part of the outermost value. */
  #part = { name: "", start: 0 };
  #duplicate: Problem | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  /** Returns the first problem. Broken syntax comes before a duplicate name, as in the answers of the service. */
  run(): Problem | undefined {
    for (;;) {
      this.#take(BLANKS);
      const isEnd = this.#expected === "the end";
      if (isEnd && this.#at === this.#text.length) return this.#duplicate;
      const expected = isEnd ? "the end" : this.#step(this.#text.charAt(this.#at));
      if (expected === undefined) continue;
      const found = this.#at < this.#text.length ? "" : ", found the end";
      return { at: this.#at, message: `the text is not valid JSON: expected ${expected}${found}` };
    }
  }

  /** Takes one token; returns the expected one if there is another. */
  #step(char: string): string | undefined {
    const expected = this.#expected;
    const next: Partial<Record<string, Expected | "after">> = NEXT[expected];
    const word = "name" in next ? "name" : "value";
    const kind = char in next ? char : word;
    const after = next[kind];
    const isString = char === '"';
    if (after === undefined || (kind === "name" && !isString)) return expected;
    const start = this.#at;
    if (kind === char) this.#at += 1;
    else if (this.#take(isString ? STRING : SCALAR) === 0) return expected;
    if (kind !== char && isString) {
      if (this.#text.charAt(this.#at) !== '"') return "the end of the string or a valid escape";
      this.#at += 1;
    }
    if (kind === "name") this.#name(start);
    else if (char !== ":" && char !== ",") this.#value(char, start);
    this.#expected = after === "after" ? afterValue(this.#open.at(-1)?.closer) : after;
    return undefined;
  }

  #name(start: number): void {
    const quoted = this.#text.slice(start, this.#at);
    const name = quoted.includes("\\") ? (JSON.parse(quoted) as string) : quoted.slice(1, -1);
    const names = this.#open.at(-1)?.names;
    if (names?.has(name)) {
      this.#duplicate ??= { at: start, message: "the name is a duplicate; names must be unique within an object" };
    }
    names?.add(name);
    if (this.#open.length === 1) this.#part.name = name;
  }

  /** Notes a value, or the start or the end of one. */
  #value(char: string, start: number): void {
    if (char === "}" || char === "]") this.#open.pop();
    else if (this.#open.length === 1) this.#part.start = start;
    if (char === "{") this.#open.push({ closer: "}", names: new Set() });
    else if (char === "[") this.#open.push({ closer: "]", names: undefined });
    else if (this.#open.length === 1) this.parts.push({ ...this.#part, end: this.#at });
  }

  #take(pattern: RegExp): number {
    pattern.lastIndex = this.#at;
    const { length } = pattern.exec(this.#text)?.[0] ?? "";
    this.#at += length;
    return length;
  }
}

function afterValue(closer: string | undefined): Expected {
  if (closer === undefined) return "the end";
  return closer === "}" ? "',' or '}'" : "',' or ']'";
}
