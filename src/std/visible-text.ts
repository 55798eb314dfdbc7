/** Stands for a secret wherever its place is shown. */
export const MASK = "***";

/**
 * Characters that a terminal obeys, or shows in another order: control characters of C0 (but for tab and line feed)
 * and C1, delete, the marks, embeddings and isolates of bidirectional text, and the separators of lines and paragraphs.
 */
const INVISIBLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
/** The same, to look for: a regular expression with a place of its own is no good for that. */
const ANY_INVISIBLE = new RegExp(INVISIBLE.source);

/**
 * Text from anywhere as it may go to a log or a terminal: a character that would act there is written as `\u009b`. In
 * JSON, where such characters are within strings only, that is the same value.
 */
export function visibleText(text: string): string {
  if (!ANY_INVISIBLE.test(text)) return text;
  return text.replaceAll(INVISIBLE, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
