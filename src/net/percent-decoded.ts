/** Percent-decoded text; the text as it is where it holds a stray `%`. */
export function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
