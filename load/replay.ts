import {
  drained,
  holds,
  type Job,
  jobOf,
  manifestOf,
  read,
  request,
  scaled,
  seconds,
  submit,
  THRESHOLDS,
} from "./service.ts";

/** Dead letters are replayed while jobs come in. The origin refuses them again, so that they come back. */
export const options = {
  scenarios: {
    submissions: {
      executor: "constant-arrival-rate",
      rate: 20,
      timeUnit: "1s",
      duration: seconds(30),
      preAllocatedVUs: 20,
      maxVUs: 200,
      exec: "submissions",
    },
    replays: { executor: "shared-iterations", vus: 1, iterations: 3, exec: "replay", maxDuration: "300s" },
  },
  thresholds: THRESHOLDS,
  setupTimeout: "300s",
  teardownTimeout: "300s",
};

const LETTERS = scaled(1000);

export async function setup(): Promise<string> {
  const job = jobOf(await submit(manifestOf({ resources: LETTERS, path: "/missing/" })));
  await drained();
  return job;
}

export async function submissions() {
  holds("the job is accepted", (await submit(manifestOf({ resources: 5 }))).status === 202);
}

export async function replay(job: string) {
  const body = JSON.stringify({ filter: { job_id: job } });
  const headers = { "content-type": "application/json" };
  const answer = await request("POST", "/operators/dlq/replay", "replay", { headers, body, expect: [200, 202] });
  holds("every dead letter of the job matches", answer.json("matched") === LETTERS);
  await drained();
}

export async function teardown(job: string) {
  await drained();
  const snapshot = (await read(`/operators/jobs/${job}`, "job")).json() as unknown as Job;
  holds("the counts of the job are true", snapshot.resource_failed === LETTERS && snapshot.status === "failed");
}
