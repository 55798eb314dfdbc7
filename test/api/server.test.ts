import { expect, test } from "bun:test";
import { connect } from "node:net";
import type { SubmissionAnswer } from "../../src/intake/submission.ts";
import { startTestApi } from "./running-api.ts";

const POST = { method: "POST", headers: { "content-type": "application/json" }, body: "{}" };
const ANSWER: SubmissionAnswer = {
  body: { job_id: "j", status: "queued", manifest_key: "m", resource_count: 1 },
  replayed: false,
};

/** An API whose submissions wait until they are let go. */
async function startSlowApi() {
  const entered = Promise.withResolvers<void>();
  const release = Promise.withResolvers<SubmissionAnswer>();
  const api = await startTestApi({
    submit: () => {
      entered.resolve();
      return release.promise;
    },
  });
  return { api, entered: entered.promise, release: () => release.resolve(ANSWER) };
}

test("a server that stops answers the requests in progress, and accepts no new ones", async () => {
  const { api, entered, release } = await startSlowApi();
  await using _ = api;
  const answer = api.fetch("/jobs", POST);
  await entered;
  const stopped = api.stop(new AbortController().signal);
  expect(await isRefused(api.port)).toBe(true);
  release();
  expect((await answer).status).toBe(202);
  await stopped;
});

test("a server that must stop ends the requests in progress", async () => {
  const { api, entered, release } = await startSlowApi();
  await using _ = api;
  const answer = api.fetch("/jobs", POST).then(
    () => "answered",
    () => "cut off",
  );
  await entered;
  const deadline = new AbortController();
  const stopped = api.stop(deadline.signal);
  deadline.abort();
  expect(await answer).toBe("cut off");
  release();
  await stopped;
});

test("an idle connection does not keep a server from stopping", async () => {
  await using api = await startTestApi();
  await api.fetch("/health/live");
  await api.stop(new AbortController().signal);
  expect(await isRefused(api.port)).toBe(true);
});

function isRefused(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  const refused = new Promise<boolean>((resolve) => {
    socket.once("connect", () => resolve(false));
    socket.once("error", () => resolve(true));
  });
  return refused.finally(() => socket.destroy());
}
