/** Longest expected media type (RFC 9110, 8.3.1). */
export const MEDIA_TYPE_LENGTH_MAX = 255;

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const MEDIA_TYPE = new RegExp(`^\\s*(${TOKEN}/${TOKEN})\\s*(?:[;,]|$)`);
const PATTERN = new RegExp(`^${TOKEN}/${TOKEN}(?:[ \\t]*;[\\x20-\\x7e\\t]*)?$`);

/**
 * Type and subtype in lower case, without parameters; the first of several in one field. `undefined` for an unreadable
 * value. It accepts the forms that real origins send: any case, and broken parameters.
 */
export function essenceOf(contentType: string): string | undefined {
  return MEDIA_TYPE.exec(contentType)?.[1]?.toLowerCase();
}

/** The problem of an expected media type, or `undefined`. `*` stands for a whole half; parameters are ignored. */
export function mediaTypePatternProblem(pattern: string): string | undefined {
  if (pattern.length > MEDIA_TYPE_LENGTH_MAX) return `must be at most ${MEDIA_TYPE_LENGTH_MAX} characters`;
  const halves = essenceOf(pattern)?.split("/");
  if (!PATTERN.test(pattern) || halves === undefined) return "must be a media type, like image/png or image/*";
  if (halves.some((half) => half !== "*" && half.includes("*"))) return "must have '*' as a whole half, like image/*";
  return undefined;
}

/** Whether the served type matches the pattern. Only a double wildcard matches a missing or unreadable type. */
export function matchesMediaType(pattern: string, contentType: string | undefined): boolean {
  const [wantedType, wantedSubtype] = essenceOf(pattern)?.split("/") ?? [];
  if (wantedType === "*" && wantedSubtype === "*") return true;
  const [type, subtype] = essenceOf(contentType ?? "")?.split("/") ?? [];
  if (type === undefined) return false;
  return (wantedType === "*" || wantedType === type) && (wantedSubtype === "*" || wantedSubtype === subtype);
}

/** Whether the served type is HTML. */
export function isHtml(contentType: string | undefined): boolean {
  const essence = essenceOf(contentType ?? "");
  return essence === "text/html" || essence === "application/xhtml+xml";
}
