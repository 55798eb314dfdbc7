import exec from "k6/execution";
import { Counter } from "k6/metrics";
import { drained, holds, manifestOf, seconds, submit, THRESHOLDS, wait } from "./service.ts";

/**
 * More jobs than the queue may hold. The clients honour Retry-After, and each job is accepted in the end. The service
 * runs with a small `queue.max_pending_tasks`.
 */
export const options = {
  scenarios: {
    spike: {
      executor: "ramping-arrival-rate",
      startRate: 1,
      timeUnit: "1s",
      stages: [
        { target: 40, duration: seconds(5) },
        { target: 40, duration: seconds(10) },
        { target: 0, duration: seconds(5) },
      ],
      preAllocatedVUs: 100,
      maxVUs: 2000,
      gracefulStop: "600s",
    },
  },
  thresholds: { ...THRESHOLDS, refused: ["count>0"] },
  teardownTimeout: "600s",
};

const refused = new Counter("refused");
const manifest = manifestOf({ resources: 100, path: "/1024/20/" });

export default async function spike() {
  const key = `spike-${exec.scenario.iterationInTest}`;
  for (;;) {
    const answer = await submit(manifest, { key, expect: [202, 429] });
    if (answer.status === 202) return holds("the job is accepted in the end", true);
    const after = Number(answer.headers["Retry-After"]);
    holds("a full queue says when to come again", answer.json("code") === "QUEUE_FULL" && after >= 1);
    refused.add(1);
    await wait(after * 1000);
  }
}

export async function teardown() {
  await drained();
}
