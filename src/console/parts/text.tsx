import type { ComponentChildren } from "preact";
import { announce } from "../frame/announcement.tsx";
import { isUtc } from "../frame/preferences.ts";
import { timeText, words } from "./format.ts";

/** A time in the chosen zone. Hovering shows the exact one. */
export function Time({ at }: { readonly at: string | null | undefined }) {
  if (at === null || at === undefined) return <span class="faint">–</span>;
  return (
    <time dateTime={at} title={at}>
      {timeText(at, isUtc.value)}
      {isUtc.value && " UTC"}
    </time>
  );
}

/** Text of somebody else: isolated from the direction of the page's text, and cut by the style sheet. */
export function Foreign({ text, wide = false }: { readonly text: string; readonly wide?: boolean }) {
  return (
    <bdi dir="ltr" class={wide ? "foreign wide" : "foreign"} title={visible(text)}>
      {visible(text)}
    </bdi>
  );
}

// Characters that show nothing, or that reorder the text around them (Unicode's bidirectional controls).
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
const SHOWN_MAX = 2000;

/** A text with its invisible characters spelt out, as `\u{202e}`. */
export function visible(text: string): string {
  const shown = text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}… (${text.length} characters)` : text;
  return shown.replaceAll(HIDDEN, (character) =>
    character === "\n" ? character : `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** A URL as text, with a link to open it only if it is http or https. */
export function Url({ url }: { readonly url: string }) {
  const isWeb = /^https?:$/.test(URL.parse(url)?.protocol ?? "");
  return (
    <span class="url">
      <Foreign text={url} />
      {isWeb && (
        <a href={url} target="_blank" rel="noopener noreferrer" aria-label="Open the URL in a new tab">
          ↗
        </a>
      )}
    </span>
  );
}

const GOOD = ["completed", "healthy", "open", "verified", "live", "ok"];
const WARN = [
  "partial",
  "degraded",
  "warning",
  "retrying",
  "slowed",
  "waiting",
  "probing",
  "unverified",
  "stopped",
  "low",
];
const BAD = ["failed", "unhealthy", "critical", "closed", "breaker", "interrupted", "full"];

/** The style sheet's colour of each status; a status without one has a neutral colour. */
const TONES: ReadonlyMap<string, string> = new Map(
  Object.entries({ good: GOOD, warn: WARN, bad: BAD }).flatMap(([tone, names]) => names.map((name) => [name, tone])),
);

export function Status({ name, children }: { readonly name: string; readonly children?: ComponentChildren }) {
  return (
    <span class="status" data-tone={TONES.get(name)}>
      {children ?? words(name)}
    </span>
  );
}

/** A button that copies a text. */
export function Copy({ text, label }: { readonly text: string; readonly label: string }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      announce(`The clipboard has the ${label}.`);
    } catch {
      // Browsers have a clipboard only on https and on this machine.
      announce(`This browser allows no copy here. The ${label}: ${text}`);
    }
  };
  return (
    <button type="button" class="plain" title={text} onClick={() => void copy()}>
      <CopyIcon /> {label}
    </button>
  );
}

function CopyIcon() {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d="M5.5 5.5h8v8h-8z M10.5 5.5v-3h-8v8h3" />
    </svg>
  );
}
