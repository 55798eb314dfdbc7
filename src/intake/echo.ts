/** No message and no step of a path repeats more characters of what a client sent. */
const ECHO_CHARACTERS_MAX = 100;

/** One step of a JSON pointer (RFC 6901), with its slash. */
export function pointerStep(token: string | number): string {
  return `/${shorten(String(token)).replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

/** A value for a message: quoted, with control characters escaped. */
export function quote(value: string): string {
  return JSON.stringify(shorten(value));
}

function shorten(text: string): string {
  // toWellFormed, because the cut may halve a surrogate pair.
  return (text.length <= ECHO_CHARACTERS_MAX ? text : `${text.slice(0, ECHO_CHARACTERS_MAX - 1)}…`).toWellFormed();
}
