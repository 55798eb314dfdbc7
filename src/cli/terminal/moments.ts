/** Locales that have short names for zones; other locales use `GMT+1`. */
const LOCALES = ["en-GB", "en-US", "en-CA", "en-AU", "en-NZ", "en-IN", "en-ZA"];

/** A local time to the minute: `2026-11-28 09:14 CET`. */
export function minuteText(time: string | number): string {
  return `${local(time).slice(0, 16)} ${zoneName(time)}`;
}

/** A local time to the second: `2026-11-28 09:14:33 CET`. */
export function secondText(time: string | number): string {
  return `${local(time)} ${zoneName(time)}`;
}

/** A local day: `2026-11-28`. */
export function dayText(time: string | number): string {
  return local(time).slice(0, 10);
}

/** A local time of day: `09:14:33 CET`. */
export function clockText(time: string | number): string {
  return `${local(time).slice(11)} ${zoneName(time)}`;
}

/** `2026-11-28 09:14:33` in the local zone. */
function local(time: string | number): string {
  const date = new Date(time);
  // The server may not be FetchBox, so an invalid time is shown unchanged.
  if (Number.isNaN(date.getTime())) return String(time);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().replace("T", " ").slice(0, 19);
}

/** The zone's short name at that time, or its offset. */
function zoneName(time: string | number): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return "";
  const names = LOCALES.map((locale) => nameIn(locale, date));
  return names.find((name) => !/^(GMT|UTC)[+-]/.test(name)) ?? offsetText(-date.getTimezoneOffset());
}

function nameIn(locale: string, date: Date): string {
  const parts = new Intl.DateTimeFormat(locale, { timeZoneName: "short" }).formatToParts(date);
  return parts.find(({ type }) => type === "timeZoneName")?.value ?? "";
}

function offsetText(minutes: number): string {
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return `UTC${minutes < 0 ? "-" : "+"}${hours}${rest === 0 ? "" : `:${String(rest).padStart(2, "0")}`}`;
}
