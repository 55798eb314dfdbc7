import { Failure } from "../jobs/failure.ts";
import type { AttemptRecord, TaskResult } from "../jobs/task.ts";
import type { Outcome } from "../jobs/verdict.ts";
import { MASK } from "../std/visible-text.ts";

/** A truncated secret is recognised by this many of its first characters. */
const BEGINNING = 8;

/**
 * Masks the secrets that requests carry in every outcome of an attempt: a host may repeat them in its answer. The
 * object itself stays as it was served.
 */
export class SecretMask {
  /** In lower case: URLs return host names and schemes in that form. */
  readonly #forms = new Set<string>();
  /** The same by their first character: most places of a text start no secret. */
  readonly #byStart = new Map<string, string[]>();

  constructor(secrets: readonly string[] = []) {
    this.add(secrets);
  }

  /** Adds secrets. Older ones stay masked: an attempt under way may have sent them. */
  add(secrets: readonly string[]): void {
    for (const form of secrets.flatMap(formsOf).map(lowerCase)) this.#addForm(form);
  }

  outcome(outcome: Outcome): Outcome {
    if (this.#forms.size === 0 || outcome.kind === "interrupted") return outcome;
    if (outcome.kind === "stored") return { kind: "stored", result: this.#result(outcome.result) };
    const failure = this.#failure(outcome.failure);
    return failure === outcome.failure
      ? outcome
      : { kind: "failed", failure, attempt: this.#attempt(outcome, failure) };
  }

  /** The text with `***` in place of every secret, percent-encoded or not. */
  text(text: string): string {
    const lower = lowerCase(text);
    let masked = "";
    let from = 0;
    for (let at = 0; at < text.length; at++) {
      const end = this.#endAt(lower, at);
      if (end === at) continue;
      masked += text.slice(from, at) + MASK;
      from = end;
      at = end - 1;
    }
    return from === 0 ? text : masked + text.slice(from);
  }

  #result(result: TaskResult): TaskResult {
    const { finalUrl, etag, contentType } = result;
    return { ...result, finalUrl: this.text(finalUrl), etag: this.text(etag), contentType: this.text(contentType) };
  }

  /** The same failure if it has no secret; else a masked one without its cause, which has the secret, too. */
  #failure(failure: Failure): Failure {
    const { code, retryAfterMs, httpStatus, mayConcernObject } = failure;
    const message = this.text(failure.message);
    const bodyStart = failure.bodyStart === undefined ? undefined : this.#hex(failure.bodyStart);
    if (message === failure.message && bodyStart === failure.bodyStart) return failure;
    return new Failure(code, message, { retryAfterMs, httpStatus, bodyStart, mayConcernObject });
  }

  #attempt({ attempt }: { readonly attempt: AttemptRecord }, { message, bodyStart }: Failure): AttemptRecord {
    return { ...attempt, message, ...(bodyStart !== undefined && { bodyStart }) };
  }

  #hex(hex: string): string {
    const text = Buffer.from(hex, "hex").toString("latin1");
    const masked = this.text(text);
    return masked === text ? hex : Buffer.from(masked, "latin1").toString("hex");
  }

  #addForm(form: string): void {
    if (this.#forms.has(form)) return;
    this.#forms.add(form);
    const start = form.charAt(0);
    this.#byStart.set(start, [...(this.#byStart.get(start) ?? []), form]);
  }

  /** The forms that may start at this place. */
  #formsAt(text: string, at: number): Iterable<string> {
    const start = text.charAt(at);
    return start === "%" ? this.#forms : (this.#byStart.get(start) ?? []);
  }

  /** The end of the longest secret that starts at this place; the place itself if there is no secret. */
  #endAt(text: string, at: number): number {
    let end = at;
    for (const form of this.#formsAt(text, at)) end = Math.max(end, endOfForm(text, at, form));
    return end;
  }
}

function endOfForm(text: string, at: number, form: string): number {
  let end = at;
  for (let i = 0; i < form.length; i++) {
    const char = form.charAt(i);
    if (text.charAt(end) === char) end += 1;
    else if (text.charAt(end) === "%" && text.startsWith(percentEncoded(char), end)) end += 3;
    else return i >= BEGINNING ? end : at;
  }
  return end;
}

/** Lowers ASCII only, so that every character keeps its place. */
function lowerCase(text: string): string {
  return text.replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** The percent-encoded form of a Latin-1 character, in lower case. */
function percentEncoded(char: string): string {
  return `%${char.charCodeAt(0).toString(16).padStart(2, "0")}`;
}

/** The forms of a secret in a text: plain, as UTF-8, in JSON, and within base64. */
function formsOf(secret: string): string[] {
  const utf8 = Buffer.from(secret).toString("latin1");
  return [secret, utf8, JSON.stringify(secret).slice(1, -1), ...base64Forms(secret)];
}

/** The parts of a base64 text that only the secret determines, at each of the three offsets, in both alphabets. */
function base64Forms(secret: string): string[] {
  const bytes = Buffer.from(secret, "latin1");
  const forms = [0, 1, 2].map((before) => {
    const padded = Buffer.concat([Buffer.alloc(before), bytes]);
    const end = Math.floor((padded.length * 8) / 6);
    return padded.toString("base64").slice(Math.ceil((before * 8) / 6), end);
  });
  const urlSafe = forms.map((form) => form.replaceAll("+", "-").replaceAll("/", "_"));
  return [...forms, ...urlSafe].filter((form) => form.length >= BEGINNING);
}
