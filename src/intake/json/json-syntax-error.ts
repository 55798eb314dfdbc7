import { JSON_DEPTH_MAX } from "./strict-json-error.ts";

const LITERALS = ["true", "false", "null"] as const;
const BLANKS = /[ \t\n\r]*/y;
// One alternative per character, so that matching it cannot backtrack.
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/y;

type Expected =
  | "a value"
  | "a value or ']'"
  | "a name or '}'"
  | "a name"
  | "':'"
  | "',' or '}'"
  | "',' or ']'"
  | "the end";

/** The line and column where a text stops being JSON (RFC 8259), and the expected token, without quoting the text. */
export function syntaxErrorOf(text: string): string {
  const { at, expected } = new Grammar(text).run();
  let line = 1;
  let lineStart = 0;
  for (let end = text.indexOf("\n"); end !== -1 && end < at; end = text.indexOf("\n", lineStart)) {
    line += 1;
    lineStart = end + 1;
  }
  const column = at - lineStart + 1;
  const found = at >= text.length ? ", found the end of the text" : "";
  return `expected ${expected} at line ${line}, column ${column}${found}`;
}

/** Reads JSON without recursion, up to the first unexpected character. */
class Grammar {
  readonly #text: string;
  readonly #isObject: boolean[] = [];
  #at = 0;
  #expected: Expected = "a value";

  constructor(text: string) {
    this.#text = text;
  }

  run(): { at: number; expected: string } {
    for (;;) {
      this.#at += this.#matched(BLANKS);
      const expected = this.#expected;
      const problem = this.#step(this.#text.charAt(this.#at));
      if (problem !== undefined) return { at: this.#at, expected: problem };
      if (expected === "the end") return { at: this.#at, expected };
    }
  }

  /** Takes one token; returns the expected one if there is another. */
  #step(char: string): string | undefined {
    const wantsName = this.#expected === "a name" || this.#expected === "a name or '}'";
    if ((this.#expected === "a name or '}'" && char === "}") || (this.#expected === "a value or ']'" && char === "]")) {
      return this.#close();
    }
    if (wantsName) {
      if (char !== '"') return this.#expected;
      this.#expected = "':'";
      return this.#string();
    }
    if (this.#expected === "':'") {
      if (char !== ":") return this.#expected;
      this.#at += 1;
      this.#expected = "a value";
      return undefined;
    }
    if (this.#expected === "a value" || this.#expected === "a value or ']'") return this.#value(char);
    if (this.#expected === "the end") return undefined;
    return this.#afterValue(char);
  }

  #afterValue(char: string): string | undefined {
    const isObject = this.#isObject.at(-1) === true;
    if (char === (isObject ? "}" : "]")) return this.#close();
    if (char !== ",") return this.#expected;
    this.#at += 1;
    this.#expected = isObject ? "a name" : "a value";
    return undefined;
  }

  #close(): undefined {
    this.#at += 1;
    this.#isObject.pop();
    this.#ended();
  }

  #ended(): void {
    const isObject = this.#isObject.at(-1);
    const expected = isObject === true ? "',' or '}'" : "',' or ']'";
    this.#expected = isObject === undefined ? "the end" : expected;
  }

  #value(char: string): string | undefined {
    if (char === "{" || char === "[") {
      if (this.#isObject.length === JSON_DEPTH_MAX) return `at most ${JSON_DEPTH_MAX} levels`;
      this.#at += 1;
      this.#isObject.push(char === "{");
      this.#expected = char === "{" ? "a name or '}'" : "a value or ']'";
      return undefined;
    }
    const expected = this.#expected;
    this.#ended();
    if (char === '"') return this.#string();
    const literal = LITERALS.find((word) => this.#text.startsWith(word, this.#at));
    const length = literal?.length ?? this.#matched(NUMBER);
    this.#at += length;
    return length === 0 ? expected : undefined;
  }

  #string(): string | undefined {
    this.#at += 1;
    for (let char = this.#text.charAt(this.#at); char !== '"'; char = this.#text.charAt(this.#at)) {
      if (char === "") return "the end of a string";
      if (char < " ") return "an escape for a control character";
      const length = char === "\\" ? this.#matched(ESCAPE) : 1;
      if (length === 0) return "a valid escape";
      this.#at += length;
    }
    this.#at += 1;
    return undefined;
  }

  #matched(pattern: RegExp): number {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#text)?.[0].length ?? 0;
  }
}
