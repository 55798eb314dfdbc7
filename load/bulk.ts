import { drained, holds, manifestOf, seconds, submit, THRESHOLDS } from "./service.ts";

/** Two jobs of a thousand resources a second, compressed. */
export const options = {
  scenarios: {
    bulk: {
      executor: "constant-arrival-rate",
      rate: 2,
      timeUnit: "1s",
      duration: seconds(30),
      preAllocatedVUs: 10,
      maxVUs: 100,
    },
  },
  thresholds: THRESHOLDS,
  teardownTimeout: "600s",
};

const manifest = manifestOf({ resources: 1000 });

export default async function bulk() {
  const answer = await submit(manifest, { gzip: true });
  holds("the job is accepted whole", answer.status === 202 && answer.json("resource_count") === 1000);
}

export async function teardown() {
  await drained();
}
