import { expect, test } from "bun:test";
import { IdempotencyKeys } from "../../src/intake/idempotency.ts";
import { IntakeError } from "../../src/intake/intake-error.ts";
import type { Submission } from "../../src/intake/submission.ts";
import type { IdempotentAnswer } from "../../src/jobs/stores/acceptor.ts";

const SUBMISSION = {
  tenant: "default",
  idempotencyKey: "k",
  jobType: "default",
  body: new TextEncoder().encode("{}"),
} as unknown as Submission;
const BODY = { job_id: "j", status: "queued", manifest_key: "m", resource_count: 1 } as const;

/** Keys over a memory that `accept` fills, as the queue does. */
function rig() {
  const remembered = new Map<string, IdempotentAnswer>();
  const keys = new IdempotencyKeys({ findIdempotent: async (_tenant, key) => remembered.get(key) });
  let accepted = 0;
  const submit = () =>
    keys.once(SUBMISSION, async (fingerprint) => {
      accepted++;
      await Promise.resolve();
      remembered.set("k", { fingerprint: fingerprint ?? new Uint8Array(), answer: JSON.stringify(BODY) });
      return BODY;
    });
  return { submit, accepted: () => accepted };
}

test("repeats of an accepted submission that come at once all get the first answer", async () => {
  const { submit, accepted } = rig();
  expect(await submit()).toEqual({ body: BODY, replayed: false });
  const answers = await Promise.all([submit(), submit(), submit()]);
  for (const answer of answers) expect(answer).toEqual({ body: BODY, replayed: true });
  expect(accepted()).toBe(1);
});

test("of submissions that come at once under a free key one is accepted, and the others are told to wait", async () => {
  const { submit, accepted } = rig();
  const outcomes = await Promise.allSettled([submit(), submit(), submit()]);
  expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected"]);
  for (const outcome of outcomes.slice(1)) {
    expect((outcome as PromiseRejectedResult).reason).toBeInstanceOf(IntakeError);
    expect((outcome as PromiseRejectedResult).reason.code).toBe("IDEMPOTENCY_IN_PROGRESS");
  }
  expect(accepted()).toBe(1);
});
