import type { Outcome } from "../jobs/verdict.ts";
import type { BucketHealth } from "../storage/bucket-health.ts";
import type { Layer } from "./service.ts";

/** Keeps attempts away from closed buckets, except for one probe at a time. */
export function storageGate(health: Pick<BucketHealth, "admit" | "judge" | "ended">): Layer {
  return (inner) => ({
    ready: (signal) => inner.ready(signal),
    async call(attempt) {
      const { bucket } = attempt.claimed.task;
      const admission = health.admit(bucket);
      // The task is put back as if it had never been claimed: a wait would keep it from the next probe, too.
      if (admission === undefined) return { kind: "interrupted", by: "closed bucket" };
      let outcome: Outcome;
      try {
        outcome = await inner.call(attempt);
      } catch (error) {
        health.ended(bucket, admission);
        throw error;
      }
      return health.judge(bucket, admission, outcome);
    },
  });
}
