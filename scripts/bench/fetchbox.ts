import { mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import type { Load, Ran } from "./load.ts";

const RESOURCES_PER_JOB = 1000;
const POLL_MS = 10;

/** Our compiled binary as it is shipped: synchronous=FULL, SHA-256, JSON log; from handing over the jobs to their end. */
export async function runFetchBox(load: Load, folder: string): Promise<Ran> {
  const service = start(load, folder);
  try {
    const url = await addressOf(join(folder, "service.log"), service);
    const started = performance.now();
    const jobs = [];
    for (let at = 0; at < load.count; at += RESOURCES_PER_JOB) jobs.push(await submit(url, load, at));
    for (const job of jobs) await finished(`${url}/operators/jobs/${job}`);
    const seconds = (performance.now() - started) / 1000;
    service.kill("SIGTERM");
    await service.exited;
    return { seconds, usage: service.resourceUsage() };
  } finally {
    service.kill("SIGKILL");
  }
}

function start({ binary, s3, lanes }: Load, folder: string) {
  mkdirSync(folder, { recursive: true });
  const settings = {
    SERVER__BIND_ADDR: "127.0.0.1:0",
    QUEUE__PATH: join(folder, "queue"),
    LEDGER__PATH: join(folder, "ledger"),
    DLQ__PATH: join(folder, "dlq"),
    QUEUE__WORKERS: lanes,
    QUEUE__RATE_LIMIT_PER_WORKER: 0,
    DOWNLOAD__HOST__MAX_CONCURRENCY: lanes,
    EGRESS__ALLOW_PRIVATE: "127.0.0.0/8",
    STORAGE__BACKEND: "s3",
    STORAGE__ENDPOINT: s3,
    STORAGE__BUCKET: "bench",
    LOG__FORMAT: "json",
  };
  const own = Object.entries(settings).map(([name, value]) => [`FETCHBOX__${name}`, String(value)]);
  return Bun.spawn([binary, "serve"], {
    cwd: folder,
    env: { ...process.env, ...Object.fromEntries(own), S3_ACCESS_KEY_ID: "a", S3_SECRET_ACCESS_KEY: "b" },
    stdout: openSync(join(folder, "service.log"), "w"),
    stderr: "inherit",
  });
}

async function addressOf(log: string, service: Bun.Subprocess): Promise<string> {
  while (service.exitCode === null) {
    const address = /http:\/\/127\.0\.0\.1:\d+/.exec(await Bun.file(log).text())?.[0];
    if (address !== undefined) return address;
    await Bun.sleep(POLL_MS);
  }
  throw new Error(`the service did not start: ${await Bun.file(log).text()}`);
}

async function submit(url: string, { prefix, count }: Load, from: number): Promise<string> {
  const length = Math.min(RESOURCES_PER_JOB, count - from);
  const resources = Array.from({ length }, (_, at) => ({ id: `i${from + at}`, url: `${prefix}${from + at}` }));
  const response = await fetch(`${url}/jobs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ manifest_version: "v1", resources }),
  });
  if (response.status !== 202) throw new Error(`${response.status} ${await response.text()}`);
  return ((await response.json()) as { job_id: string }).job_id;
}

async function finished(url: string): Promise<void> {
  for (;;) {
    const { status } = (await (await fetch(url)).json()) as { status: string };
    if (status === "completed") return;
    if (status !== "queued" && status !== "in_progress") throw new Error(`a job ended as ${status}`);
    await Bun.sleep(POLL_MS);
  }
}
