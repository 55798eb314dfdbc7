import exec from "k6/execution";
import { type Answer, holds, jobOf, manifestOf, seconds, submit, THRESHOLDS, wait } from "./service.ts";

/** Every submission comes twice at once under one key, as from a client that gave up too early. */
export const options = {
  scenarios: {
    same_key: {
      executor: "constant-arrival-rate",
      rate: 20,
      timeUnit: "1s",
      duration: seconds(30),
      preAllocatedVUs: 20,
      maxVUs: 200,
    },
  },
  thresholds: THRESHOLDS,
};

/** Submits until the first request under the key has its answer. */
async function settled(manifest: string, key: string): Promise<Answer> {
  for (;;) {
    const answer = await submit(manifest, { key, expect: [202, 409] });
    if (answer.status !== 409) return answer;
    await wait(50);
  }
}

export default async function sameKey() {
  const key = `same-${exec.scenario.iterationInTest}`;
  const manifest = manifestOf({ resources: 2 });
  const [one, two] = await Promise.all([settled(manifest, key), settled(manifest, key)]);
  holds("both get the same job", one.status === 202 && two.status === 202 && jobOf(one) === jobOf(two));
  const other = await submit(manifestOf({ resources: 3 }), { key, expect: [422] });
  holds("another manifest under the key is refused", other.status === 422);
}
