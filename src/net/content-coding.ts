/** Content codings (RFC 9110, 8.4) of a body that is stored as an origin served it. */
const CODINGS_LENGTH_MAX = 100;

const LIST_ELEMENT = /^[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]*)[ \t]*$/;

/**
 * The codings that a `Content-Encoding` names, in lower case, in their order: `gzip` or `gzip, br`. `undefined` where
 * there is none but `identity`, and where the value is too long or no list of names.
 */
export function contentCodings(header: string | undefined): string | undefined {
  if (header === undefined || header.length > CODINGS_LENGTH_MAX) return undefined;
  const names = header.split(",").map((element) => LIST_ELEMENT.exec(element)?.[1]?.toLowerCase());
  if (names.includes(undefined)) return undefined;
  const codings = names.filter((name) => name !== "" && name !== "identity").join(", ");
  return codings === "" || codings.length > CODINGS_LENGTH_MAX ? undefined : codings;
}
