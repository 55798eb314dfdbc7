/** Locales that know a short name for the local zone; others say `GMT+1`. */
const LOCALES = ["en-GB", "en-US", "en-CA", "en-AU", "en-NZ", "en-IN", "en-ZA"];

/** A time for people, local, to the minute: `2026-11-28 09:14 CET`. */
export function minuteText(time: string | number): string {
  return `${local(time).slice(0, 16)} ${zoneName(time)}`;
}

/** The same to the second: `2026-11-28 09:14:33 CET`. */
export function secondText(time: string | number): string {
  return `${local(time)} ${zoneName(time)}`;
}

/** The day, local: `2026-11-28`. */
export function dayText(time: string | number): string {
  return local(time).slice(0, 10);
}

/** The time of day, local: `09:14:33 CET`. */
export function clockText(time: string | number): string {
  return `${local(time).slice(11)} ${zoneName(time)}`;
}

/** `2026-11-28 09:14:33`, as the local clocks show it. */
function local(time: string | number): string {
  const date = new Date(time);
  // Whatever answered may be no FetchBox: what is no time is shown as it came.
  if (Number.isNaN(date.getTime())) return String(time);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().replace("T", " ").slice(0, 19);
}

/** The zone's short name at that time; its offset where it has none. */
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
