import type { JobSnapshot } from "../../api/openapi/schemas.ts";
import { systemClock } from "../../std/clock.ts";
import { sha256Hex } from "../../std/digest.ts";
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

/** One running command. */
interface Submitting {
  readonly flags: SubmitFlags;
  /** Prints a line, which includes its line break. */
  readonly print: (line: string) => void;
  readonly remote: Remote;
  readonly patience: Patience;
}

/** Submits a manifest, or a list of URLs as one or more jobs. With `--wait`, returns 1 unless everything is stored. */
export async function submitFile(path: string, flags: SubmitFlags, remote: Remote): Promise<ExitCode> {
  const bytes = readInput(path);
  const startedAt = systemClock.monotonic();
  const screen = await terminalLine(remote.env);
  const print = (line: string) => {
    screen?.clear();
    remote.out(line);
  };
  const patience = new Patience(flags.timeout, screen ?? ((text) => remote.err(`${text}\n`)));
  const submitting = { flags, print, remote, patience };
  const jobs = isManifest(bytes) ? await submitOne(bytes, submitting) : await submitList(bytes, submitting);
  const hasTotals = flags.json !== true && jobs.length > 1;
  if (flags.wait !== true) {
    const { resources } = totalsOf(jobs, []);
    if (hasTotals) print(`${counted(jobs.length, "job")}, ${counted(resources, "resource")} in total\n`);
    return EXIT.done;
  }
  const onEnded = (job: JobSnapshot) => {
    const text = printable(`job ${job.job_id} ${job.status}: ${progressText(job)}`);
    print(flags.json === true ? jsonLine(job) : `${text}\n`);
  };
  try {
    const ended = await waitForAll(jobs, { remote, patience, screen, onEnded });
    const took = durationText((systemClock.monotonic() - startedAt) / 1000);
    if (hasTotals) print(`${counted(jobs.length, "job")} in ${took}: ${countsText(totalsOf(jobs, ended))}\n`);
    return ended.some(hasFailed) ? EXIT.failed : EXIT.done;
  } catch (error) {
    screen?.clear();
    throw withJobsHint(error, jobs);
  }
}

/** The error for the end of a wait, with the command that shows the jobs, which the service continues. */
function withJobsHint(error: unknown, jobs: readonly Accepted[]): unknown {
  if (!(error instanceof WorkFailedError)) return error;
  const [first] = jobs;
  const look = jobs.length === 1 ? `fetchbox status ${first?.job_id}` : "fetchbox jobs";
  const subject = jobs.length === 1 ? "the submitted job continues" : "the submitted jobs continue";
  return new WorkFailedError(`${error.message}; ${subject}, see ${look}`, { cause: error });
}

/** Submits under the given or a new key, so that a repetition after a broken connection makes no second job. */
async function submitOne(bytes: Uint8Array, submitting: Submitting): Promise<Accepted[]> {
  const key = submitting.flags.idempotencyKey ?? `submit-${Bun.randomUUIDv7()}`;
  return [await post(bytes, key, submitting)];
}

/** Submits under one key for the whole list, so that a repetition of an interrupted command submits no URL twice. */
async function submitList(bytes: Uint8Array, submitting: Submitting): Promise<Accepted[]> {
  const { flags } = submitting;
  const size = Number(flags.batch);
  if (!Number.isInteger(size) || size < 1) throw new UsageError("--batch must be a whole number of at least 1");
  const parts = splitUrlList(parseUrlList(new TextDecoder().decode(bytes)), size);
  const name = flags.idempotencyKey ?? sha256Hex(bytes);
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

/** The error for a list, with the number of submitted jobs, and with lines in place of places in the manifest. */
function cutShort(error: unknown, lines: readonly number[], done: number, parts: number): unknown {
  const before =
    done === 0 ? "no job was submitted" : `${done} of ${counted(parts, "job")} were submitted before and continue`;
  if (error instanceof RefusedError) {
    const lineProblems = error.details.map(({ path, message }) => {
      const at = /^\/resources\/(\d+)\//.exec(path)?.[1];
      return `\n  ${at === undefined ? path : `line ${lines[Number(at)]}`}: ${message}`;
    });
    return new UsageError(`${error.summary}; ${before}${lineProblems.join("")}`, { cause: error });
  }
  if (!(error instanceof WorkFailedError) || done === 0) return error;
  return new WorkFailedError(`${error.message}; ${before}; the same command submits the rest`, { cause: error });
}

async function post(body: Uint8Array, key: string, { flags, print, remote, patience }: Submitting): Promise<Accepted> {
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
    if (flags.wait !== true) print(jsonLine(accepted));
  } else {
    const how = isOld ? "was submitted before" : "queued";
    print(`${printable(`job ${accepted.job_id} ${how}: ${counted(accepted.resource_count, "resource")}`)}\n`);
  }
  return accepted;
}
