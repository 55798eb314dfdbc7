/**
 * The longest wait for an answer while the service does what is largest: `bun scripts/bench/longest-gap.ts [BINARY]`,
 * or as a probe.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Probe, ProbeContext } from "./probes.ts";
import { loopbackAddress, type Service, startService, submit } from "./service.ts";

const HOSTS = 100_000;
const RESOURCES_PER_JOB = 1000;
const WORK_MS = 10_000;

export async function longestGap({
  binary,
  s3,
  folder,
}: Pick<ProbeContext, "binary" | "s3" | "folder">): Promise<Probe> {
  await using service = await startService({ binary, s3, folder: join(folder, "gap"), lanes: 64 });
  const idle = await longestWait(service, () => Bun.sleep(1000));
  const { url } = service;
  await post(`${url}/operators/queue/pause`);
  const jobs: string[] = [];
  for (let from = 0; from < HOSTS; from += RESOURCES_PER_JOB) jobs.push(await submit(url, manifestOfHosts(from)));
  const longest = await longestWait(service, async () => {
    await post(`${url}/operators/queue/resume`);
    await Bun.sleep(WORK_MS);
    for (const job of jobs) await post(`${url}/operators/jobs/${job}/cancel`);
    await Bun.sleep(WORK_MS);
  });
  return {
    what: `longest wait for an answer: ${HOSTS} hosts that refuse, 64 workers, then all jobs cancelled`,
    ours: `${longest.toFixed(1)} ms`,
    against: `idle ${idle.toFixed(1)} ms`,
    ratio: (longest / idle).toFixed(1),
    wanted: "< 100 ms",
  };
}

/** Each resource has a host of its own, on which nobody listens. */
function manifestOfHosts(from: number): string {
  const resources = Array.from({ length: RESOURCES_PER_JOB }, (_, at) => {
    const host = from + at;
    return { id: `i${host}`, url: `http://${loopbackAddress(host)}:9/` };
  });
  return JSON.stringify({ manifest_version: "v1", resources });
}

async function post(url: string): Promise<void> {
  await (await fetch(url, { method: "POST" })).arrayBuffer();
}

/** Asks one thing after the other while some work goes on: how long the slowest answer took, in milliseconds. */
async function longestWait({ url }: Service, work: () => Promise<void>): Promise<number> {
  let isOver = false;
  const done = work().finally(() => {
    isOver = true;
  });
  let longest = 0;
  while (!isOver) {
    const begun = performance.now();
    await (await fetch(`${url}/health/live`)).arrayBuffer();
    longest = Math.max(longest, performance.now() - begun);
    await Bun.sleep(2);
  }
  await done;
  return longest;
}

if (import.meta.main) {
  const folder = mkdtempSync(join(tmpdir(), "fetchbox-gap-"));
  const sink = Bun.spawn([process.execPath, join(import.meta.dir, "null-s3.ts")], {
    stdout: "pipe",
    stderr: "inherit",
  });
  try {
    const { value } = await sink.stdout.getReader().read();
    const s3 = `http://127.0.0.1:${new TextDecoder().decode(value).trim()}`;
    const { what, ours, against } = await longestGap({
      binary: resolve(process.argv[2] ?? "dist/fetchbox"),
      s3,
      folder,
    });
    process.stdout.write(`${what}: ${ours} (${against})\n`);
  } finally {
    sink.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}
