import type { Acceptor } from "../jobs/stores/acceptor.ts";
import { IntakeError } from "./intake-error.ts";
import type { Submission, SubmissionAnswer } from "./submission.ts";

type Body = SubmissionAnswer["body"];

/**
 * Accepts a submission with an idempotency key once per tenant. The queue stores the accepted ones, and this object
 * keeps those in progress. A submission that is not accepted frees its key.
 */
export class IdempotencyKeys {
  readonly #acceptor: Pick<Acceptor, "findIdempotent">;
  /** Fingerprints of the submissions in progress, by tenant and key. */
  readonly #underWay = new Map<string, Uint8Array>();

  constructor(acceptor: Pick<Acceptor, "findIdempotent">) {
    this.#acceptor = acceptor;
  }

  /**
   * Runs `accept`, or returns the answer to the first submission.
   * @throws IntakeError IDEMPOTENCY_IN_PROGRESS, IDEMPOTENCY_KEY_REUSED
   */
  async once(
    submission: Submission,
    accept: (fingerprint: Uint8Array | undefined) => Promise<Body>,
  ): Promise<SubmissionAnswer> {
    const { idempotencyKey: key, tenant } = submission;
    if (key === undefined) return { body: await accept(undefined), replayed: false };
    const fingerprint = fingerprintOf(submission);
    // First of all: repeats of an accepted submission that come at once must not stand in each other's way.
    const known = await this.#acceptor.findIdempotent(tenant, key);
    if (known !== undefined) {
      if (!equal(known.fingerprint, fingerprint)) throw reused();
      return { body: JSON.parse(known.answer) as Body, replayed: true };
    }
    // No wait may come between the look and the mark. `accept` refuses a key that was taken since it was looked up.
    const name = `${tenant} ${key}`; // neither may contain a space
    const other = this.#underWay.get(name);
    if (other !== undefined) throw equal(other, fingerprint) ? inProgress() : reused();
    this.#underWay.set(name, fingerprint);
    try {
      return { body: await accept(fingerprint), replayed: false };
    } finally {
      this.#underWay.delete(name);
    }
  }
}

/** A digest of job type and decoded body: submissions with the same digest are the same. */
function fingerprintOf({ jobType, body }: Submission): Uint8Array {
  return new Bun.CryptoHasher("sha256").update(jobType).update("\0").update(body).digest();
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function inProgress(): IntakeError {
  return new IntakeError(
    "IDEMPOTENCY_IN_PROGRESS",
    "an earlier submission with this idempotency key is still being processed",
  );
}

function reused(): IntakeError {
  return new IntakeError("IDEMPOTENCY_KEY_REUSED", "this idempotency key was already used with another payload");
}
