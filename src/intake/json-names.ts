import { TextMap } from "../jobs/text-map.ts";
import { StrictJsonError } from "./strict-json-error.ts";

/** Distinct member names in one document. */
export const NAMES_MAX = 10_000;
/** The engine looks values up to this length up by their hash, as it does with names of any length. */
const LOOKED_UP_CHARACTERS_MAX = 10;
/** Six characters of an escape stand for one. */
const ESCAPED_CHARACTERS_MAX = 6 * LOOKED_UP_CHARACTERS_MAX;
/** A power of two. */
const RECENT = 32;
/** Comparisons that looking up texts of one hash may take: half a second. */
const COMPARISONS_MAX = 1e8;
const BEYOND_ASCII = /[^\0-\x7f]/;

/**
 * Counts the members of all objects in a JSON text, by their names: strings before a colon. Runs before anything is
 * made of the text, because the engine's time for names that share a hash grows with their square; such names are easy
 * to find outside ASCII. Takes linear time. Of a text that is no JSON the count means nothing.
 * @throws StrictJsonError for more than `NAMES_MAX` distinct names, or for texts that could take the engine too long
 */
export function countMemberNames(text: string): number {
  const names = new MemberNames();
  const lookedUp = new LookedUpTexts();
  let backslash = text.indexOf("\\");
  let count = 0;
  for (let start = text.indexOf('"'); start !== -1; ) {
    const end = endOfString(text, start);
    if (end === -1) break;
    if (backslash !== -1 && backslash < start) backslash = text.indexOf("\\", start);
    const isEscaped = backslash !== -1 && backslash < end;
    const isName = isBeforeColon(text, end);
    if (isName) count++;
    if (isName || end - start - 2 <= (isEscaped ? ESCAPED_CHARACTERS_MAX : LOOKED_UP_CHARACTERS_MAX)) {
      const inside = text.slice(start + 1, end - 1);
      const string = isEscaped ? unescaped(inside) : inside;
      if (isName) names.add(string);
      if (isName || string.length <= LOOKED_UP_CHARACTERS_MAX) lookedUp.add(string);
    }
    start = text.indexOf('"', end);
  }
  return count;
}

/** The distinct names of a document. */
class MemberNames {
  readonly #distinct = new TextMap<true>();
  /** Most documents have few names, again and again: these are known without a look at all. */
  readonly #recent: string[] = Array.from({ length: RECENT }, () => "");

  add(name: string): void {
    const place = (name.length + name.charCodeAt(0)) & (RECENT - 1);
    if (this.#recent[place] === name) return;
    this.#recent[place] = name;
    if (this.#distinct.add(name, true) && this.#distinct.size > NAMES_MAX) {
      throw new StrictJsonError(`has more than ${NAMES_MAX} different member names`);
    }
  }
}

/** Texts outside ASCII that the engine is going to look up: their number times the distinct ones bounds its work. */
class LookedUpTexts {
  readonly #distinct = new TextMap<true>();
  #count = 0;

  add(text: string): void {
    if (!BEYOND_ASCII.test(text)) return;
    this.#count++;
    this.#distinct.add(text, true);
    if (this.#count * this.#distinct.size <= COMPARISONS_MAX) return;
    throw new StrictJsonError("has too many different names and short strings with characters outside ASCII");
  }
}

function isBeforeColon(text: string, end: number): boolean {
  let at = end;
  while (text.charCodeAt(at) <= 0x20) at += 1;
  return text[at] === ":";
}

/** The place behind a string that starts at `start`; -1 if it does not end. An odd number of backslashes escapes a quote. */
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
function unescaped(raw: string): string {
  return raw.replace(/\\(?:u([0-9a-fA-F]{4})|(.))/gs, (_, hex: string | undefined, character: string) =>
    hex === undefined ? (ESCAPES[character] ?? character) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
