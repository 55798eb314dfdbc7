/** A message or a step of a path repeats at most so much of a client's text. */
const CHARACTERS_MAX = 100;

/** A client's text as a message may repeat it: cut where it is too long. */
export function shorten(text: string): string {
  // toWellFormed, because the cut may halve a surrogate pair.
  return (text.length <= CHARACTERS_MAX ? text : `${text.slice(0, CHARACTERS_MAX - 1)}…`).toWellFormed();
}

/** One step of a JSON pointer (RFC 6901), with its slash. */
export function pointerStep(token: string | number): string {
  return `/${shorten(String(token)).replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

/** A value for a message: quoted, with control characters escaped. */
export function quoteForMessage(value: string): string {
  return JSON.stringify(shorten(value));
}
