import { holds, manifestOf, seconds, submit } from "./service.ts";

/**
 * Submissions grow until the service cannot keep up: the run ends at the rate where answers take over a second, or
 * where no virtual user is left. It finds a limit, and so it has no other thresholds.
 */
export const options = {
  scenarios: {
    breakpoint: {
      executor: "ramping-arrival-rate",
      startRate: 10,
      timeUnit: "1s",
      stages: [{ target: 2000, duration: seconds(120) }],
      preAllocatedVUs: 200,
      maxVUs: 2000,
    },
  },
  thresholds: {
    submit_ms: [{ threshold: "p(99)<1000", abortOnFail: true, delayAbortEval: "5s" }],
    dropped_iterations: [{ threshold: "count<100", abortOnFail: true }],
  },
};

const manifest = manifestOf({ resources: 10 });

export default async function breakpoint() {
  const answer = await submit(manifest, { expect: [202, 429] });
  holds("the service answers", answer.status === 202 || answer.status === 429);
}
