import { countText } from "../parts/format.ts";
import type { Letters } from "./letters.ts";

interface ReplayOptions {
  /** Per second, as it was typed; empty: no limit. */
  readonly rate: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Empty: as before. */
  readonly pool: string;
}

// The words of the service's own rule for headers that may carry secrets; a test compares them.
const MAY_BE_SECRET = /auth|cookie|credential|csrf|jwt|key|pass|secret|session|signature|token|xsrf/i;
const MASK = "***";

// The limits of the service; a test compares them.
const RATE_MIN = 0.001;
const RATE_MAX = 1_000_000;
/** Stands for an invalid rate. Without it the command would replay all at once. */
const NO_RATE = "RATE";

/** The reason why a rate is invalid; `undefined`: it is valid, or empty. */
export function rateProblem(rate: string): string | undefined {
  const perSecond = Number(rate);
  if (rate === "" || (perSecond >= RATE_MIN && perSecond <= RATE_MAX)) return undefined;
  const limits = `${RATE_MIN} to ${countText(RATE_MAX)}`;
  return `The rate must be a number from ${limits}, like 5 or 0.5. The command has ${NO_RATE} in its place.`;
}

interface ReplayCommand {
  /** The words before the options, and each option with its value. Spaces join them. */
  readonly parts: readonly string[];
  /** The headers whose values the command masks. */
  readonly masked: readonly string[];
}

/** The same replay on the command line, without the values of headers that may be secrets. */
export function replayCommand(letters: Letters, { rate, headers, pool }: ReplayOptions): ReplayCommand {
  const masked = Object.keys(headers).filter((name) => MAY_BE_SECRET.test(name));
  const parts = [
    "fetchbox dlq replay",
    ...selection(letters),
    ...(rate === "" ? [] : [`--rate ${rateProblem(rate) === undefined ? quoted(rate) : NO_RATE}`]),
    ...Object.entries(headers).map(([name, value]) =>
      masked.includes(name) ? `--header ${quoted(`${name}:${MASK}`)}` : `--header ${quoted(`${name}: ${value}`)}`,
    ),
    ...(pool === "" ? [] : [`--proxy-pool ${quoted(pool)}`]),
  ];
  return { parts, masked };
}

function selection(letters: Letters): string[] {
  if ("task_ids" in letters) return letters.task_ids.map(String);
  return Object.entries(letters.filter).map(([name, value]) => `--${name.replaceAll("_", "-")} ${quoted(value)}`);
}

/** A word for a POSIX shell. */
function quoted(value: string): string {
  return /^[\w.:/-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}
