/**
 * A `Retry-After` header (RFC 9110, 10.2.3), in seconds or as a date, as milliseconds from `now`; `undefined` for a
 * missing or invalid one.
 */
export function retryAfterMs(header: string | null, now: number): number | undefined {
  if (header === null) return undefined;
  if (/^\s*\d{1,10}\s*$/.test(header)) return Number(header) * 1000;
  if (!/^\s*[A-Za-z]{3,9}(?:,| [A-Za-z]{3} )/.test(header)) return undefined;
  // The oldest of the three forms (RFC 9110, 5.6.7) names no zone and also means GMT.
  const date = Date.parse(/GMT\s*$/.test(header) ? header : `${header} GMT`);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
