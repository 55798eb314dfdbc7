import assert from "node:assert/strict";
import { eventually } from "../../test/support/eventually.ts";
import { startOrigin } from "../../test/support/origin.ts";

/** Runs a job that stores `abc` as `a.txt`, to its end. Returns its id. */
export async function runJob(url: string, token: string): Promise<string> {
  await using origin = await startOrigin();
  const resources = [{ id: "a.txt", url: origin.serve("/a.txt", "abc") }];
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const body = JSON.stringify({ manifest_version: "v1", resources });
  const accepted = await fetch(`${url}/jobs`, { method: "POST", headers, body });
  assert.equal(accepted.status, 202, await accepted.clone().text());
  const { job_id: job } = (await accepted.json()) as { job_id: string };
  await eventually("the job is completed", async () => {
    const snapshot = await fetch(`${url}/operators/jobs/${job}`, { headers });
    return ((await snapshot.json()) as { status: string }).status === "completed" ? true : undefined;
  });
  return job;
}
