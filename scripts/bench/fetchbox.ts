import type { Load, Ran } from "./load.ts";
import { ended, mainThreadSeconds, manifestOf, startService, submit } from "./service.ts";

const RESOURCES_PER_JOB = 1000;

/** From handing over the jobs to their end. */
export async function runFetchBox(load: Load, folder: string): Promise<Ran> {
  await using service = await startService({ ...load, folder });
  const begun = await mainThreadSeconds(service.pid);
  const started = performance.now();
  const jobs = [];
  for (let at = 0; at < load.count; at += RESOURCES_PER_JOB) {
    const manifest = manifestOf(load.prefix, at, Math.min(RESOURCES_PER_JOB, load.count - at));
    jobs.push(await submit(service.url, manifest));
  }
  for (const job of jobs) {
    const status = await ended(service.url, job);
    if (status !== "completed") throw new Error(`a job ended as ${status}`);
  }
  const seconds = (performance.now() - started) / 1000;
  const used = (await mainThreadSeconds(service.pid)) - begun;
  return { seconds, mainThreadSeconds: used, usage: await service.stop() };
}
