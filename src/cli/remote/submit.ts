import { readFileSync } from "node:fs";
import { createLogUpdate } from "log-update";
import type { JobSnapshot } from "../../api/schemas.ts";
import { delay, systemClock } from "../../jobs/clock.ts";
import { isFinished } from "../../jobs/job.ts";
import { EXIT, type ExitCode, UsageError } from "../exit-code.ts";
import { BusyError } from "./client.ts";
import type { Remote, RemoteFlags } from "./context.ts";
import { hasFailed, progressText, readJob } from "./jobs.ts";
import { parseUrlList, splitUrlList } from "./url-list.ts";

export interface SubmitFlags extends RemoteFlags {
  readonly wait?: true;
  readonly jobType?: string;
  readonly tenant?: string;
  readonly idempotencyKey?: string;
  readonly batch: string;
}

interface Accepted {
  readonly job_id: string;
  readonly resource_count: number;
}

const POLL_MS = 500;
const never = new AbortController().signal;

/** Submits a manifest, or a list of URLs in as many jobs as it takes. With `--wait`, ends with 1 unless all is stored. */
export async function submitFile(path: string, flags: SubmitFlags, remote: Remote): Promise<ExitCode> {
  const bytes = readInput(path);
  const jobs = isManifest(bytes) ? await submitOne(bytes, flags, remote) : await submitList(bytes, flags, remote);
  if (flags.wait !== true) return EXIT.done;
  const ended = await waitForAll(jobs, remote);
  if (flags.json === true) for (const job of ended) remote.out(`${JSON.stringify(job)}\n`);
  else for (const job of ended) remote.out(`job ${job.job_id} ${job.status}: ${progressText(job)}\n`);
  return ended.some(hasFailed) ? EXIT.failed : EXIT.done;
}

function readInput(path: string): Uint8Array {
  try {
    return readFileSync(path === "-" ? 0 : path);
  } catch (error) {
    throw new UsageError(`${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

/** JSON is an object; no URL begins with a brace. */
function isManifest(bytes: Uint8Array): boolean {
  return new TextDecoder()
    .decode(bytes.subarray(0, 1024))
    .replace(/^\uFEFF/, "")
    .trimStart()
    .startsWith("{");
}

async function submitOne(bytes: Uint8Array, flags: SubmitFlags, remote: Remote): Promise<string[]> {
  const key = flags.idempotencyKey;
  return [await post(bytes, key === undefined ? {} : { "idempotency-key": key }, flags, remote)];
}

/**
 * Under one key for the whole list, so that the same command again, after whatever broke it off, submits no URL twice.
 */
async function submitList(bytes: Uint8Array, flags: SubmitFlags, remote: Remote): Promise<string[]> {
  const size = Number(flags.batch);
  if (!Number.isInteger(size) || size < 1) throw new UsageError("--batch must be a whole number from 1 on");
  const parts = splitUrlList(parseUrlList(new TextDecoder().decode(bytes)), size);
  const name = flags.idempotencyKey ?? new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
  const jobs: string[] = [];
  for (const [at, resources] of parts.entries()) {
    const manifest = { manifest_version: "v1", metadata: { list: name, part: at + 1, parts: parts.length }, resources };
    const headers = { "idempotency-key": `${name.slice(0, 200)}/${size}/${at + 1}` };
    jobs.push(await post(new TextEncoder().encode(JSON.stringify(manifest)), headers, flags, remote));
  }
  return jobs;
}

/** Waits as long as the service asks for: a queue that is full has room later. */
async function post(
  body: Uint8Array,
  more: Readonly<Record<string, string>>,
  flags: SubmitFlags,
  remote: Remote,
): Promise<string> {
  const { jobType, tenant, json } = flags;
  const headers = {
    ...more,
    ...(jobType !== undefined && { "x-fetchbox-job-type": jobType }),
    ...(tenant !== undefined && { "x-fetchbox-tenant": tenant }),
  };
  for (;;) {
    try {
      const response = await remote.client.request("POST", "/jobs", body, headers);
      const accepted = (await response.json()) as Accepted;
      const isOld = response.headers.has("idempotent-replayed");
      if (json === true) {
        if (flags.wait !== true) remote.out(`${JSON.stringify(accepted)}\n`);
      } else {
        const how = isOld ? "was submitted before" : "queued";
        remote.out(`job ${accepted.job_id} ${how}: ${accepted.resource_count} resources\n`);
      }
      return accepted.job_id;
    } catch (error) {
      if (!(error instanceof BusyError)) throw error;
      remote.err(`${error.message}; again in ${Math.round(error.retryAfterMs / 1000)} s\n`);
      await delay(systemClock, error.retryAfterMs, never);
    }
  }
}

async function waitForAll(jobIds: readonly string[], remote: Remote): Promise<JobSnapshot[]> {
  const screen = process.stdout.isTTY ? createLogUpdate(process.stdout) : undefined;
  const ended: JobSnapshot[] = [];
  for (const jobId of jobIds) {
    for (;;) {
      const job = await readJob(jobId, remote);
      screen?.(`job ${ended.length + 1} of ${jobIds.length}: ${progressText(job)}`);
      if (isFinished(job.status)) {
        ended.push(job);
        break;
      }
      await delay(systemClock, POLL_MS, never);
    }
  }
  screen?.clear();
  return ended;
}
