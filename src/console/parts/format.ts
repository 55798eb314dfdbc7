import { now } from "../service/browser-time.ts";

const COUNT = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact" });
const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/** `1.2M`: for places without room. */
export function shortCountText(value: number): string {
  return SHORT.format(value);
}

export function countText(value: number): string {
  return COUNT.format(value);
}

/** A count that may be between two whole numbers, as on an axis. */
export function wholeText(value: number): string {
  return COUNT.format(Math.round(value));
}

/** `1 job`, `1,200 jobs`. */
export function countedText(value: number, noun: string): string {
  return `${COUNT.format(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** A count; `10,000+` if the service examined only so many. */
export function cappedText(value: number, cap: number | null): string {
  return `${COUNT.format(value)}${cap === null ? "" : "+"}`;
}

export function bytesText(bytes: number): string {
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), UNITS.length - 1);
  const value = bytes / 1000 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[power]}`;
}

/** `850 ms`, `12 s`, `3 m 5 s`, `2 h 4 m`, `5 d 3 h`. */
export function durationText(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return pair(seconds, 60, "m", "s");
  if (seconds < 86_400) return pair(Math.round(seconds / 60), 60, "h", "m");
  return pair(Math.round(seconds / 3600), 24, "d", "h");
}

function pair(value: number, base: number, large: string, small: string): string {
  const rest = value % base;
  return `${Math.floor(value / base)} ${large}${rest === 0 ? "" : ` ${rest} ${small}`}`;
}

export function rateText(perSecond: number): string {
  return perSecond >= 10 || perSecond === 0 ? COUNT.format(Math.round(perSecond)) : perSecond.toFixed(1);
}

export function percentText(fraction: number): string {
  return `${Math.floor(fraction * 100)} %`;
}

/** `2026-11-23 12:00:05`, in UTC or in the browser's zone; without the date if it is today. */
export function timeText(iso: string, isUtc: boolean): string {
  const [date, time] = localParts(new Date(iso), isUtc);
  return date === localParts(now(), isUtc)[0] ? time : `${date} ${time}`;
}

function localParts(at: Date, isUtc: boolean): [string, string] {
  const shifted = isUtc ? at : new Date(at.getTime() - at.getTimezoneOffset() * 60_000);
  if (Number.isNaN(shifted.getTime())) return ["?", "?"];
  const iso = shifted.toISOString();
  return [iso.slice(0, 10), iso.slice(11, 19)];
}

/** A status for people: `in_progress` → `in progress`. */
export function words(name: string): string {
  return name.replaceAll("_", " ");
}

/** A status as a title: `in_progress` → `In progress`. */
export function title(name: string): string {
  return name.slice(0, 1).toUpperCase() + words(name.slice(1));
}
