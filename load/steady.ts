import {
  drained,
  holds,
  type Idle,
  idle,
  manifestOf,
  read,
  SLOW,
  seconds,
  slow,
  submit,
  THRESHOLDS,
} from "./service.ts";

/** Fifty jobs of ten resources a second, for a minute. */
export const options = {
  scenarios: {
    steady: {
      executor: "constant-arrival-rate",
      rate: 50,
      timeUnit: "1s",
      duration: seconds(60),
      preAllocatedVUs: 50,
      maxVUs: 500,
    },
  },
  // The 99th percentile stays below five times that of an idle service.
  thresholds: { ...THRESHOLDS, slow_submit: ["rate<0.01"] },
  setupTimeout: "60s",
  teardownTimeout: "600s",
};

const RESOURCES = 10;

export function setup(): Promise<Idle> {
  return idle(manifestOf({ resources: RESOURCES }));
}

export default async function steady({ p99Ms }: Idle) {
  const answer = await submit(manifestOf({ resources: RESOURCES }));
  holds("the job is accepted", answer.status === 202);
  slow.add(answer.timings.duration > SLOW * p99Ms);
}

export async function teardown() {
  await drained();
  const failed = (await read("/operators/jobs?status=failed&limit=1", "jobs")).json("jobs") as unknown[];
  const partial = (await read("/operators/jobs?status=partial&limit=1", "jobs")).json("jobs") as unknown[];
  holds("no job failed", failed.length === 0 && partial.length === 0);
}
