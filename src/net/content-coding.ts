/** Longest list of content codings (RFC 9110, 8.4). An object is stored in the coding in which its origin served it. */
const CODINGS_LENGTH_MAX = 100;

const LIST_ELEMENT = /^[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]*)[ \t]*$/;

/**
 * The codings of a `Content-Encoding`, in lower case and in their order: `gzip` or `gzip, br`. `undefined` for
 * `identity` alone, and for a value that is too long or not a list of names.
 */
export function contentCodings(header: string | undefined): string | undefined {
  if (header === undefined || header === "" || header.length > CODINGS_LENGTH_MAX) return undefined;
  const names = header.split(",").map((element) => LIST_ELEMENT.exec(element)?.[1]?.toLowerCase());
  if (names.includes(undefined)) return undefined;
  const codings = names.filter((name) => name !== "" && name !== "identity").join(", ");
  return codings === "" || codings.length > CODINGS_LENGTH_MAX ? undefined : codings;
}
