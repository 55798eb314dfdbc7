/**
 * The media type that a client prefers (RFC 9110, section 12.5.1). It is the first one if the client has no preference,
 * and if it accepts none.
 */
export function acceptedType<T extends string>(accept: string | null, types: readonly [T, ...T[]]): T {
  if (accept === null) return types[0];
  const ranges = accept
    .toLowerCase()
    .split(",")
    .map((range) => {
      const [type = "", ...parameters] = range.split(";").map((part) => part.trim());
      const q = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2);
      return { type, q: q === undefined ? 1 : Number(q) };
    });
  const weight = (type: string) => {
    const [main] = type.split("/");
    // The most specific range takes precedence.
    const range = [type, `${main}/*`, "*/*"].map((name) => ranges.find((each) => each.type === name)).find(Boolean);
    return range?.q ?? 0;
  };
  let best: T = types[0];
  for (const type of types) if (weight(type) > weight(best)) best = type;
  return best;
}
