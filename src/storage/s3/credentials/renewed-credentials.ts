import { Failure } from "../../../jobs/failure.ts";
import type { Clock } from "../../../std/clock.ts";
import { withDeadline } from "../../../std/deadline.ts";
import { unlessAborted } from "../../../std/unless-aborted.ts";
import type { S3Credentials } from "../client/sign.ts";
import type { CredentialSource, IssuedCredentials } from "./credential-source.ts";

interface RenewalDeps {
  /** Asks the source of the keys. Rejects with an error whose message an operator may read. */
  readonly load: () => Promise<IssuedCredentials>;
  readonly clock: Pick<Clock, "now" | "monotonic" | "after">;
  /** A renewal without a call of `renew` brought other keys than before. */
  readonly onChange: (issued: IssuedCredentials) => void;
  /** Such a renewal failed, for another reason than the last one. */
  readonly onProblem: (problem: Error) => void;
}

interface Held extends IssuedCredentials {
  /** When to ask for the next keys. */
  readonly renewAt: number;
}

/** Keys are renewed this long before they expire, or after half of their time if that is later. */
const RENEW_BEFORE_MS = 5 * 60_000;
/** Requests ask the source no more often than this: it may be a program that is run each time. */
const ASK_EVERY_MS = 5000;
/** Where it gives just those keys again that S3 refuses, the pause doubles up to this. */
const ASK_EVERY_MAX_MS = 60_000;
/** The source has this long to answer. */
const ANSWER_MS = 30_000;

/**
 * Keys that are renewed before they expire, by one question at a time; requests use the old ones meanwhile. A request
 * waits only where there are no usable keys, or where S3 refused them.
 */
export class RenewedCredentials implements CredentialSource {
  readonly #deps: RenewalDeps;
  #held: Held | undefined;
  #isRefused = false;
  #pauseMs = ASK_EVERY_MS;
  #problem: Error | undefined;
  #answeredAt = Number.NEGATIVE_INFINITY;
  /** Never rejects. */
  #renewal: Promise<void> | undefined;

  constructor(deps: RenewalDeps) {
    this.#deps = deps;
  }

  current(signal: AbortSignal): S3Credentials | Promise<S3Credentials> {
    if (this.#isDue()) void this.#start(this.#askAlone());
    const usable = this.#isRefused ? undefined : this.#usable();
    return usable?.keys ?? this.#next(signal);
  }

  async #next(signal: AbortSignal): Promise<S3Credentials> {
    if (this.#renewal !== undefined) await unlessAborted(this.#renewal, signal);
    const usable = this.#usable();
    if (usable !== undefined) return usable.keys;
    const reason = this.#problem?.message ?? "the last ones have expired";
    throw new Failure("UPLOAD_UNAVAILABLE", `there are no S3 credentials: ${reason}`, { cause: this.#problem });
  }

  refused(keys: S3Credentials): void {
    if (keys === this.#held?.keys) this.#isRefused = true;
  }

  /** Asks the source now. If it fails, the keys stay as they are. @throws the source's error */
  async renew(): Promise<IssuedCredentials> {
    // An earlier question may still be answered with the settings that are to be replaced.
    while (this.#renewal !== undefined) await this.#renewal;
    const asked = this.#ask();
    await this.#start(asked.then(noop, noop));
    return asked;
  }

  #usable(): Held | undefined {
    const { expiresAt = Number.POSITIVE_INFINITY } = this.#held ?? {};
    return expiresAt > this.#deps.clock.now() ? this.#held : undefined;
  }

  #isDue(): boolean {
    const { clock } = this.#deps;
    const isWanted = this.#held === undefined || this.#isRefused || clock.now() >= this.#held.renewAt;
    return isWanted && this.#renewal === undefined && clock.monotonic() - this.#answeredAt >= this.#pauseMs;
  }

  #start(asking: Promise<void>): Promise<void> {
    this.#renewal = asking.finally(() => {
      this.#renewal = undefined;
      this.#answeredAt = this.#deps.clock.monotonic();
    });
    return this.#renewal;
  }

  async #askAlone(): Promise<void> {
    const { keys } = this.#held ?? {};
    const before = this.#problem?.message;
    try {
      const issued = await this.#ask();
      if (this.#held?.keys !== keys) this.#deps.onChange(issued);
    } catch (error) {
      if (this.#problem?.message !== before) this.#deps.onProblem(error as Error);
    }
  }

  async #ask(): Promise<IssuedCredentials> {
    try {
      const issued = await this.#answer();
      this.#take(issued);
      this.#problem = undefined;
      return issued;
    } catch (error) {
      this.#problem = error instanceof Error ? error : new Error(String(error));
      throw this.#problem;
    }
  }

  #answer(): Promise<IssuedCredentials> {
    const { clock, load } = this.#deps;
    const onLimit = () => new Error(`the source of the S3 credentials gave no answer within ${ANSWER_MS} ms`);
    const { signal } = new AbortController();
    return withDeadline({ clock, limitMs: ANSWER_MS, signal, onLimit }, load, noop);
  }

  #take(issued: IssuedCredentials): void {
    const { clock } = this.#deps;
    const { expiresAt = Number.POSITIVE_INFINITY, origin } = issued;
    const lifetimeMs = expiresAt - clock.now();
    if (lifetimeMs <= 0) throw new Error(`the S3 credentials from ${origin} have expired`);
    const before = this.#held?.keys;
    const isSame = before !== undefined && areSame(before, issued.keys);
    const renewAt = clock.now() + Math.max(lifetimeMs / 2, lifetimeMs - RENEW_BEFORE_MS);
    // The same object for the same keys: values that were derived from it stay valid.
    this.#held = { ...issued, keys: isSame ? before : issued.keys, renewAt };
    this.#pauseMs = isSame && this.#isRefused ? Math.min(this.#pauseMs * 2, ASK_EVERY_MAX_MS) : ASK_EVERY_MS;
    this.#isRefused = false;
  }
}

function noop(): void {}

function areSame(a: S3Credentials, b: S3Credentials): boolean {
  return (
    a.accessKeyId === b.accessKeyId && a.secretAccessKey === b.secretAccessKey && a.sessionToken === b.sessionToken
  );
}
