import { MASK } from "../../std/visible-text.ts";
/** The path to a value: table keys and list positions. */
export type KeyPath = readonly (string | number)[];

/** The key as it is written in TOML, with list positions in brackets. */
export function keyText(path: KeyPath): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    const key = /^[A-Za-z0-9_-]+$/.test(part) ? part : JSON.stringify(part);
    return text === "" ? key : `${text}.${key}`;
  }, "");
}

/** The key for a message. A part that may be a token, a URL or a header line instead of a name is `***`. */
export function shownKey(path: KeyPath): string {
  return keyText(path.map((part) => (typeof part === "string" && mayBeSecret(part) ? MASK : part)));
}

const HOST_WITH_PORT = /^(?:[\w.*-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i;
const NAME_LENGTH_MAX = 100;

function mayBeSecret(part: string): boolean {
  return part.length > NAME_LENGTH_MAX || (/[:@]/.test(part) && !HOST_WITH_PORT.test(part));
}

/** The note under a path's `keyText`, or under the nearest path around it. */
export function nearest<T>(notes: ReadonlyMap<string, T>, path: KeyPath): T | undefined {
  for (let length = path.length; length > 0; length--) {
    const note = notes.get(keyText(path.slice(0, length)));
    if (note !== undefined) return note;
  }
  return undefined;
}
