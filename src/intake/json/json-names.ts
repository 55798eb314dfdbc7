import { TextMap } from "../../std/text-map.ts";
import { StrictJsonError } from "./strict-json-error.ts";

/** Distinct member names in one document. */
export const NAMES_MAX = 10_000;
/** The engine looks values up to this length up by their hash, as it does with names of any length. */
const LOOKED_UP_CHARACTERS_MAX = 10;
/** Six characters of an escape stand for one. */
const ESCAPED_CHARACTERS_MAX = 6 * LOOKED_UP_CHARACTERS_MAX;
/** A power of two. */
const RECENT = 32;
/** Comparisons that looking up names of one hash may take: about a second. */
const NAME_COMPARISONS_MAX = 2e8;
/** The same for values, which can be padded instead: about 20 ms. */
const VALUE_COMPARISONS_MAX = 4e6;
const BEYOND_ASCII = /[^\0-\x7f]/;

/** What the strings of a JSON text are like, as far as it matters before the text is parsed. */
interface StringSurvey {
  /** Members of all objects. */
  readonly members: number;
  /** The text to parse: the same, or one whose short strings `strip` brings back. */
  readonly text: string;
  /** Takes the padding off the strings of a value that was parsed of `text`; at most `JSON_DEPTH_MAX` deep. */
  readonly strip: (value: unknown) => unknown;
}

/**
 * Looks at all strings of a JSON text before anything is made of it, because the engine's time for texts that share a
 * hash grows with their square, and such texts are easy to find outside ASCII. Names, which are strings before a colon,
 * are counted. Where there are very many short values, they are padded, since the engine looks only short ones up.
 * Takes linear time. Of a text that is no JSON the result means nothing.
 * @throws StrictJsonError for more than `namesMax` distinct names, or for names that could take the engine too long
 */
export function surveyStrings(text: string, namesMax = NAMES_MAX): StringSurvey {
  const names = new MemberNames(namesMax);
  const values = new LookedUpTexts();
  const shortValues: number[] = [];
  let backslash = text.indexOf("\\");
  let members = 0;
  for (let start = text.indexOf('"'); start !== -1; ) {
    const end = endOfString(text, start);
    if (end === -1) break;
    if (backslash !== -1 && backslash < start) backslash = text.indexOf("\\", start);
    const isEscaped = backslash !== -1 && backslash < end;
    const isName = isBeforeColon(text, end);
    if (isName) members++;
    if (isName || end - start - 2 <= (isEscaped ? ESCAPED_CHARACTERS_MAX : LOOKED_UP_CHARACTERS_MAX)) {
      const inside = text.slice(start + 1, end - 1);
      const string = isEscaped ? unescaped(inside) : inside;
      if (isName) names.add(string);
      else if (string.length <= LOOKED_UP_CHARACTERS_MAX && values.add(string)) shortValues.push(end - 1);
    }
    start = text.indexOf('"', end);
  }
  if (values.comparisons <= VALUE_COMPARISONS_MAX) return { members, text, strip: (value) => value };
  return { members, text: withPadding(text, shortValues), strip: withoutPadding };
}

/** Longer than what is looked up, and in no text of a client's: it is made by chance when the process starts. */
const PADDING = crypto.randomUUID();

/** The text with the padding at the places of closing quotes. */
function withPadding(text: string, quotes: readonly number[]): string {
  const pieces: string[] = [];
  let from = 0;
  for (const quote of quotes) {
    pieces.push(text.slice(from, quote), PADDING);
    from = quote;
  }
  pieces.push(text.slice(from));
  return pieces.join("");
}

function withoutPadding(value: unknown): unknown {
  if (typeof value === "string") return value.endsWith(PADDING) ? value.slice(0, -PADDING.length) : value;
  if (Array.isArray(value)) return value.map(withoutPadding);
  if (typeof value !== "object" || value === null) return value;
  const members = value as Record<string, unknown>;
  // In place: to add a name once more would have it looked up once more.
  for (const [name, member] of Object.entries(members)) {
    const stripped = withoutPadding(member);
    if (stripped !== member) Object.defineProperty(members, name, { value: stripped });
  }
  return members;
}

/** The distinct names of a document. */
class MemberNames {
  readonly #max: number;
  readonly #distinct = new TextMap<true>();
  readonly #lookedUp = new LookedUpTexts();
  /** Most documents have few names, again and again: these are known without a look at all. */
  readonly #recent: string[] = Array.from({ length: RECENT }, () => "");

  constructor(max: number) {
    this.#max = max;
  }

  add(name: string): void {
    if (this.#lookedUp.add(name) && this.#lookedUp.comparisons > NAME_COMPARISONS_MAX) {
      throw new StrictJsonError("has too many members with names outside ASCII");
    }
    const place = (name.length + name.charCodeAt(0)) & (RECENT - 1);
    if (this.#recent[place] === name) return;
    this.#recent[place] = name;
    if (this.#distinct.add(name, true) && this.#distinct.size > this.#max) {
      throw new StrictJsonError(`has more than ${this.#max} different member names`);
    }
  }
}

/** Texts outside ASCII that the engine is going to look up: their number times the distinct ones bounds its work. */
class LookedUpTexts {
  readonly #distinct = new TextMap<true>();
  #count = 0;

  /** False for a text that cannot share a hash on purpose. */
  add(text: string): boolean {
    if (!BEYOND_ASCII.test(text)) return false;
    this.#count++;
    this.#distinct.add(text, true);
    return true;
  }

  /** The most comparisons that it takes to look them up, one after the other. */
  get comparisons(): number {
    return this.#count * this.#distinct.size;
  }
}

function isBeforeColon(text: string, end: number): boolean {
  let at = end;
  while (text.charCodeAt(at) <= 0x20) at += 1;
  return text[at] === ":";
}

/**
 * The place behind a string that starts at `start`; -1 if it does not end. An odd number of backslashes escapes a
 * quote.
 */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text[end - 1 - backslashes] === "\\") backslashes += 1;
    if (backslashes % 2 === 0) return end + 1;
  }
  return -1;
}

const ESCAPES: Readonly<Record<string, string>> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

/** What the inside of a string stands for (RFC 8259, 7), without the engine's parser, which would look it up. */
export function unescaped(raw: string): string {
  return raw.replace(/\\(?:u([0-9a-fA-F]{4})|(.))/gs, (_, hex: string | undefined, character: string) =>
    hex === undefined ? (ESCAPES[character] ?? character) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
