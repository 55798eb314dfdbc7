import { ended, holds, jobOf, manifestOf, read, submit, THRESHOLDS } from "./service.ts";

/** One of everything: a job from its submission to its end, and every list. */
export const options = {
  scenarios: { smoke: { executor: "shared-iterations", vus: 1, iterations: 3 } },
  thresholds: THRESHOLDS,
};

const PAGES = [
  "/health/live",
  "/health/ready",
  "/operators/health",
  "/operators/queue",
  "/operators/jobs?limit=10",
  "/operators/dlq?limit=10",
  "/operators/dlq/analysis?by=code",
  "/operators/dlq/operations",
  "/metrics",
  "/swagger/json",
];

export default async function smoke() {
  const answer = await submit(manifestOf({ resources: 5 }));
  holds("the job is accepted", answer.status === 202);
  const job = jobOf(answer);
  const { status, resource_completed } = await ended(job);
  holds("every resource is stored", status === "completed" && resource_completed === 5);
  for (const page of [...PAGES, `/operators/jobs/${job}/resources`, `/operators/jobs/${job}/logs`]) {
    holds(`${page.replace(job, "{job}")} answers`, (await read(page, page.replace(job, "{job}"))).status === 200);
  }
}
