import { readFileSync } from "node:fs";
import { delay, systemClock } from "../../jobs/clock.ts";
import { EXIT, type ExitCode, UsageError, WorkFailedError } from "../exit-code.ts";
import { BusyError, RefusedError } from "./client.ts";
import type { Remote, RemoteFlags } from "./context.ts";
import { hasFailed, progressText } from "./jobs.ts";
import { parseUrlList, splitUrlList } from "./url-list.ts";
import { type Accepted, waitForAll } from "./wait.ts";

export interface SubmitFlags extends RemoteFlags {
  readonly wait?: true;
  readonly jobType?: string;
  readonly tenant?: string;
  readonly idempotencyKey?: string;
  readonly batch: string;
}

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

async function submitOne(bytes: Uint8Array, flags: SubmitFlags, remote: Remote): Promise<Accepted[]> {
  const key = flags.idempotencyKey;
  return [await post(bytes, key === undefined ? {} : { "idempotency-key": key }, flags, remote)];
}

/**
 * Under one key for the whole list, so that the same command again, after whatever broke it off, submits no URL twice.
 */
async function submitList(bytes: Uint8Array, flags: SubmitFlags, remote: Remote): Promise<Accepted[]> {
  const size = Number(flags.batch);
  if (!Number.isInteger(size) || size < 1) throw new UsageError("--batch must be a whole number from 1 on");
  const parts = splitUrlList(parseUrlList(new TextDecoder().decode(bytes)), size);
  const name = flags.idempotencyKey ?? new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
  const jobs: Accepted[] = [];
  for (const [at, { resources, lines }] of parts.entries()) {
    const manifest = { manifest_version: "v1", metadata: { list: name, part: at + 1, parts: parts.length }, resources };
    const headers = { "idempotency-key": `${name.slice(0, 200)}/${size}/${at + 1}` };
    try {
      jobs.push(await post(new TextEncoder().encode(JSON.stringify(manifest)), headers, flags, remote));
    } catch (error) {
      throw cutShort(error, lines, jobs.length, parts.length);
    }
  }
  return jobs;
}

/** Says of a list what became of it, and names lines instead of places in a manifest that nobody has seen. */
function cutShort(error: unknown, lines: readonly number[], done: number, parts: number): unknown {
  const before = done === 0 ? "nothing was submitted" : `${done} of ${parts} jobs were submitted before; they go on`;
  if (error instanceof RefusedError) {
    const told = error.details.map(({ path, message }) => {
      const at = /^\/resources\/(\d+)\//.exec(path)?.[1];
      return `\n  ${at === undefined ? path : `line ${lines[Number(at)]}`}: ${message}`;
    });
    return new UsageError(`the service refuses a part of the list; ${before}${told.join("")}`, { cause: error });
  }
  if (!(error instanceof WorkFailedError) || done === 0) return error;
  return new WorkFailedError(`${error.message}; ${before}, and the same command submits the rest`, { cause: error });
}

/** Waits as long as the service asks for: a queue that is full has room later. */
async function post(
  body: Uint8Array,
  more: Readonly<Record<string, string>>,
  flags: SubmitFlags,
  remote: Remote,
): Promise<Accepted> {
  const { jobType, tenant, json } = flags;
  const headers = {
    ...more,
    ...(jobType !== undefined && { "x-fetchbox-job-type": jobType }),
    ...(tenant !== undefined && { "x-fetchbox-tenant": tenant }),
  };
  for (;;) {
    try {
      const response = await remote.client.request("POST", "/jobs", body, headers);
      const accepted = await remote.client.read<Accepted>(response);
      const isOld = response.headers.has("idempotent-replayed");
      if (json === true) {
        if (flags.wait !== true) remote.out(`${JSON.stringify(accepted)}\n`);
      } else {
        const how = isOld ? "was submitted before" : "queued";
        remote.out(`job ${accepted.job_id} ${how}: ${accepted.resource_count} resources\n`);
      }
      return accepted;
    } catch (error) {
      if (!(error instanceof BusyError)) throw error;
      remote.err(`${error.message}; again in ${Math.round(error.retryAfterMs / 1000)} s\n`);
      await delay(systemClock, error.retryAfterMs, never);
    }
  }
}
