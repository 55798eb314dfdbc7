import { holds, jobOf, manifestOf, request, scaled, submit, THRESHOLDS } from "./service.ts";

/** Two hundred clients follow the log of one job to its end. */
export const options = {
  scenarios: {
    followers: { executor: "per-vu-iterations", vus: scaled(200), iterations: 1, maxDuration: "300s" },
  },
  thresholds: THRESHOLDS,
};

export async function setup(): Promise<string> {
  return jobOf(await submit(manifestOf({ resources: 500, path: "/1024/20/" })));
}

export default async function followers(job: string) {
  const headers = { accept: "text/event-stream" };
  const { body } = await request("GET", `/operators/jobs/${job}/logs`, "follow", { headers, timeout: "300s" });
  const offsets = [...body.matchAll(/^id: ?(\d+)$/gm)].map(([, offset]) => Number(offset));
  holds("the stream ends with the job", /^event: ?end$/m.test(body));
  holds(
    "it has every row once, in order",
    offsets.length > 500 && offsets.every((offset, i) => i === 0 || offset >= (offsets[i - 1] ?? 0)),
  );
}
