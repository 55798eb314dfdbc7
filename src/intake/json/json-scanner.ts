import { TextMap } from "../../std/collections/text-map.ts";
import { pointerStep } from "../../std/quote.ts";
import { unescaped } from "./json-names.ts";
import { JSON_DEPTH_MAX, StrictJsonError } from "./strict-json-error.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
// The text is valid JSON, so these characters can only belong to the number.
const NUMBER = /[-+.0-9eE]+/y;

/** An open object or array, and the current place in it. */
interface Frame {
  /** Names of the members so far; `undefined` for an array. */
  readonly names: TextMap<true> | undefined;
  /** Name of the current member, or index of the current element. */
  place: string | number;
}

/**
 * Scans text that JSON.parse has accepted for violations that JSON.parse permits: duplicate names, lone surrogates,
 * numbers and depths out of range (RFC 7493, sections 2.1 to 2.3). A scanner is used once.
 */
export class JsonScanner {
  readonly #text: string;
  readonly #frames: Frame[] = [];
  #at = 0;
  /** Where the value of the current member of the top-level object starts. */
  #valueStart = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /**
   * Throws StrictJsonError at the first violation. Returns the text of the named member of the top-level object, if
   * there is one, and stops there.
   */
  scan(name?: string): string | undefined {
    const text = this.#text;
    while (this.#at < text.length) {
      const code = text.charCodeAt(this.#at);
      if (code === QUOTE) this.#checkString(this.#string());
      else if (code === 0x2d || (code >= 0x30 && code <= 0x39)) this.#number();
      else {
        const endsMember = code === 0x2c || code === 0x7d;
        if (endsMember && name !== undefined && this.#frames.length === 1 && this.#frames[0]?.place === name) {
          return text.slice(this.#valueStart, this.#at).trim();
        }
        this.#at += 1;
        this.#structure(code);
      }
    }
    return undefined;
  }

  #structure(code: number): void {
    const frame = this.#frames.at(-1);
    if (code === 0x7b) this.#open({ names: new TextMap(), place: "" });
    else if (code === 0x5b) this.#open({ names: undefined, place: 0 });
    else if (code === 0x7d || code === 0x5d) this.#frames.pop();
    else if (code === 0x2c && frame !== undefined) {
      if (typeof frame.place === "number") frame.place += 1;
      else this.#name(frame);
    }
  }

  #open(frame: Frame): void {
    if (this.#frames.length === JSON_DEPTH_MAX) throw this.#error(`is nested more than ${JSON_DEPTH_MAX} deep`);
    this.#frames.push(frame);
    if (frame.names !== undefined) this.#name(frame);
  }

  /** Reads the name of a member and its colon; does nothing in an empty object. */
  #name(frame: Frame): void {
    const text = this.#text;
    while (text.charCodeAt(this.#at) <= 0x20) this.#at += 1;
    if (text.charCodeAt(this.#at) !== QUOTE) return;
    const name = this.#string();
    frame.place = name;
    this.#checkString(name);
    if (frame.names?.add(name, true) === false) {
      throw this.#error("is a duplicate; names must be unique within an object");
    }
    this.#at = text.indexOf(":", this.#at) + 1;
    if (this.#frames.length === 1) this.#valueStart = this.#at;
  }

  /** Reads a string and returns it decoded. */
  #string(): string {
    const text = this.#text;
    const start = this.#at;
    let end = start + 1;
    let isEscaped = false;
    for (let code = text.charCodeAt(end); code !== QUOTE; code = text.charCodeAt(end)) {
      isEscaped ||= code === BACKSLASH;
      end += code === BACKSLASH ? 2 : 1;
    }
    this.#at = end + 1;
    if (!isEscaped) return text.slice(start + 1, end);
    return unescaped(text.slice(start + 1, end));
  }

  #checkString(decoded: string): void {
    if (!decoded.isWellFormed()) throw this.#error("contains a lone surrogate");
  }

  #number(): void {
    NUMBER.lastIndex = this.#at;
    const [number = ""] = NUMBER.exec(this.#text) ?? [];
    this.#at += number.length;
    if (!Number.isFinite(Number(number))) throw this.#error("is a number out of range");
  }

  #error(message: string): StrictJsonError {
    return new StrictJsonError(message, this.#frames.map((frame) => pointerStep(frame.place)).join(""));
  }
}
