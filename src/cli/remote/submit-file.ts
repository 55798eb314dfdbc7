import type { JobSnapshot } from "../../api/openapi/schemas.ts";
import { systemClock } from "../../std/clock.ts";
import { EXIT, type ExitCode, UsageError, WorkFailedError } from "../exit-code.ts";
import { isManifest, readInput } from "../input.ts";
import { terminalLine } from "../terminal/terminal-line.ts";
import { jsonLine, printable } from "../terminal/terminal-text.ts";
import { counted, durationText } from "../terminal/units.ts";
import { Patience } from "./patience.ts";
import { RefusedError } from "./remote-client.ts";
import type { Remote, RemoteFlags } from "./remote-context.ts";
import { hasFailed, progressText } from "./show-jobs.ts";
import { listManifest, parseUrlList, splitUrlList } from "./url-list.ts";
import { type Accepted, countsText, totalsOf, waitForAll } from "./wait-for-jobs.ts";

export interface SubmitFlags extends RemoteFlags {
  readonly wait?: true;
  readonly timeout?: string;
  readonly jobType?: string;
  readonly tenant?: string;
  readonly idempotencyKey?: string;
  readonly batch: string;
}

/** One command at work. */
interface Submitting {
  readonly flags: SubmitFlags;
  /** Prints a line, with its line break. */
  readonly say: (line: string) => void;
  readonly remote: Remote;
  readonly patience: Patience;
}

/**
 * Submits a manifest, or a list of URLs in as many jobs as it takes. With `--wait`, ends with 1 unless all is stored.
 */
export async function submitFile(path: string, flags: SubmitFlags, remote: Remote): Promise<ExitCode> {
  const bytes = readInput(path);
  const startedAt = systemClock.monotonic();
  const screen = await terminalLine(remote.env);
  const say = (line: string) => {
    screen?.clear();
    remote.out(line);
  };
  const patience = new Patience(flags.timeout, screen ?? ((text) => remote.err(`${text}\n`)));
  const submitting = { flags, say, remote, patience };
  const jobs = isManifest(bytes) ? await submitOne(bytes, submitting) : await submitList(bytes, submitting);
  const isTold = flags.json !== true && jobs.length > 1;
  if (flags.wait !== true) {
    const { resources } = totalsOf(jobs, []);
    if (isTold) say(`${counted(jobs.length, "job")}, ${counted(resources, "resource")} in all\n`);
    return EXIT.done;
  }
  const onEnded = (job: JobSnapshot) => {
    const text = printable(`job ${job.job_id} ${job.status}: ${progressText(job)}`);
    say(flags.json === true ? jsonLine(job) : `${text}\n`);
  };
  try {
    const ended = await waitForAll(jobs, { remote, patience, screen, onEnded });
    const took = durationText((systemClock.monotonic() - startedAt) / 1000);
    if (isTold) say(`${counted(jobs.length, "job")} in ${took}: ${countsText(totalsOf(jobs, ended))}\n`);
    return ended.some(hasFailed) ? EXIT.failed : EXIT.done;
  } catch (error) {
    screen?.clear();
    throw leftAtWork(error, jobs);
  }
}

/** Nobody waits any longer, and the service goes on: says how to look after the jobs. */
function leftAtWork(error: unknown, jobs: readonly Accepted[]): unknown {
  if (!(error instanceof WorkFailedError)) return error;
  const [first] = jobs;
  const look = jobs.length === 1 ? `fetchbox status ${first?.job_id}` : "fetchbox jobs";
  return new WorkFailedError(`${error.message}; what was submitted goes on: ${look} shows it`, { cause: error });
}

/** Under a key, its own if it has none: asked again after a connection broke, it is not accepted twice. */
async function submitOne(bytes: Uint8Array, submitting: Submitting): Promise<Accepted[]> {
  const key = submitting.flags.idempotencyKey ?? `submit-${Bun.randomUUIDv7()}`;
  return [await post(bytes, key, submitting)];
}

/**
 * Under one key for the whole list, so that the same command again, after whatever broke it off, submits no URL twice.
 */
async function submitList(bytes: Uint8Array, submitting: Submitting): Promise<Accepted[]> {
  const { flags } = submitting;
  const size = Number(flags.batch);
  if (!Number.isInteger(size) || size < 1) throw new UsageError("--batch must be a whole number from 1 on");
  const parts = splitUrlList(parseUrlList(new TextDecoder().decode(bytes)), size);
  const name = flags.idempotencyKey ?? new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
  const jobs: Accepted[] = [];
  for (const [at, part] of parts.entries()) {
    const manifest = listManifest(part, { list: name, part: at + 1, parts: parts.length });
    try {
      jobs.push(await post(manifest, `${name.slice(0, 200)}/${size}/${at + 1}`, submitting));
    } catch (error) {
      throw cutShort(error, part.lines, jobs.length, parts.length);
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
    return new UsageError(`${error.summary}; ${before}${told.join("")}`, { cause: error });
  }
  if (!(error instanceof WorkFailedError) || done === 0) return error;
  return new WorkFailedError(`${error.message}; ${before}, and the same command submits the rest`, { cause: error });
}

async function post(body: Uint8Array, key: string, { flags, say, remote, patience }: Submitting): Promise<Accepted> {
  const { jobType, tenant, json } = flags;
  const headers = {
    "idempotency-key": key,
    ...(jobType !== undefined && { "x-fetchbox-job-type": jobType }),
    ...(tenant !== undefined && { "x-fetchbox-tenant": tenant }),
  };
  const { accepted, isOld } = await patience.ask(async () => {
    const answer = await remote.client.submit<Accepted>(body, headers);
    return { accepted: answer.value, isOld: answer.headers.has("idempotent-replayed") };
  });
  if (json === true) {
    if (flags.wait !== true) say(jsonLine(accepted));
  } else {
    const how = isOld ? "was submitted before" : "queued";
    say(`${printable(`job ${accepted.job_id} ${how}: ${counted(accepted.resource_count, "resource")}`)}\n`);
  }
  return accepted;
}
