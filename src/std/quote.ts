import { shorten } from "./shorten.ts";

/** One step of a JSON pointer (RFC 6901), with its slash. */
export function pointerStep(token: string | number): string {
  return `/${shorten(String(token)).replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

/** A value for a message: quoted, with control characters escaped. */
export function quoteForMessage(value: string): string {
  return JSON.stringify(shorten(value));
}
