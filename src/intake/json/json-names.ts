import { TextMap } from "../../std/collections/text-map.ts";
import { StrictJsonError } from "./strict-json-error.ts";

/** Most distinct member names in one document. */
export const NAMES_MAX = 10_000;
/** The engine interns values up to this length by their hash, and names of any length. */
const LOOKED_UP_CHARACTERS_MAX = 10;
/** An escape has six characters for one. */
const ESCAPED_CHARACTERS_MAX = 6 * LOOKED_UP_CHARACTERS_MAX;
/** A power of two. */
const RECENT = 32;
/** Most comparisons for looking up names with one hash: about a second. */
const NAME_COMPARISONS_MAX = 2e8;
/** Most comparisons for values, which can be padded instead: about 20 ms. */
const VALUE_COMPARISONS_MAX = 4e6;
const BEYOND_ASCII = /[^\0-\x7f]/;

/** Facts about the strings of a JSON text that parsing depends on. */
interface StringSurvey {
  /** Number of members of all objects. */
  readonly members: number;
  /** The text to parse: the original, or a copy whose short strings are padded. */
  readonly text: string;
  /** Removes the padding from the strings of the value of `text`, down to `JSON_DEPTH_MAX` levels. */
  readonly strip: (value: unknown) => unknown;
}

/**
 * Surveys all strings of a JSON text before it is parsed. The engine's time for strings with one hash grows with their
 * square, and such strings are easy to find outside ASCII. The survey counts the names, which are strings before a
 * colon. It pads short values if there are very many, because the engine interns only short ones. It takes linear time.
 * For a text that is not JSON the result is meaningless.
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

/** Longer than interned values, and random for each process, so that no client's text contains it. */
const PADDING = crypto.randomUUID();

/** The text with the padding before the given closing quotes. */
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
  // In place, because a new object would look every name up again.
  for (const [name, member] of Object.entries(members)) {
    const stripped = withoutPadding(member);
    if (stripped !== member) Object.defineProperty(members, name, { value: stripped });
  }
  return members;
}

/** The distinct member names of a document. */
class MemberNames {
  readonly #max: number;
  readonly #distinct = new TextMap<true>();
  readonly #lookedUp = new LookedUpTexts();
  /** Most documents repeat few names: the recent ones need no lookup. */
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

/** Strings outside ASCII that the engine will look up. Their number times the distinct ones bounds its work. */
class LookedUpTexts {
  readonly #distinct = new TextMap<true>();
  #count = 0;

  /** Counts a string; false for an ASCII string, for which colliding hashes are hard to find. */
  add(text: string): boolean {
    if (!BEYOND_ASCII.test(text)) return false;
    this.#count++;
    this.#distinct.add(text, true);
    return true;
  }

  /** Upper bound of the comparisons for looking all strings up. */
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
 * The index after a string that starts at `start`; -1 if it does not end. An odd number of backslashes escapes a quote.
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

/** Decodes the inside of a string (RFC 8259, section 7) without the engine's parser, which would look it up. */
export function unescaped(raw: string): string {
  return raw.replace(/\\(?:u([0-9a-fA-F]{4})|(.))/gs, (_, hex: string | undefined, character: string) =>
    hex === undefined ? (ESCAPES[character] ?? character) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
