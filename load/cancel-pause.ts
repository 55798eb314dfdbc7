import { ended, holds, jobOf, manifestOf, request, seconds, submit, THRESHOLDS, wait } from "./service.ts";

/** Jobs are cancelled as soon as they are accepted, while the queue is paused and resumed again and again. */
export const options = {
  scenarios: {
    cancels: {
      executor: "constant-arrival-rate",
      rate: 10,
      timeUnit: "1s",
      duration: seconds(30),
      preAllocatedVUs: 50,
      maxVUs: 500,
      exec: "cancel",
      gracefulStop: "120s",
    },
    pauses: { executor: "constant-vus", vus: 1, duration: seconds(30), exec: "pause", gracefulStop: "30s" },
  },
  thresholds: THRESHOLDS,
  teardownTimeout: "60s",
};

const manifest = manifestOf({ resources: 50, path: "/1024/20/" });

export async function cancel() {
  const job = jobOf(await submit(manifest));
  const answer = await request("POST", `/operators/jobs/${job}/cancel`, "cancel", { expect: [202, 409] });
  const { status, resource_total, resource_completed, resource_failed, resource_cancelled } = await ended(job);
  holds("a cancelled job ends", status === "cancelled" || (answer.status === 409 && status === "completed"));
  holds(
    "its counts add up",
    resource_total === 50 && resource_completed + resource_failed + resource_cancelled === resource_total,
  );
}

export async function pause() {
  for (const action of ["pause", "resume"]) {
    const answer = await request("POST", `/operators/queue/${action}`, action);
    holds(`${action} answers`, answer.status === 200);
    await wait(100);
  }
}

export async function teardown() {
  await request("POST", "/operators/queue/resume", "resume");
}
