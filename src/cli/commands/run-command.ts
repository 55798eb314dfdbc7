import { type App, createApp } from "../../app.ts";
import { IntakeError } from "../../intake/intake-error.ts";
import type { SubmissionAnswer } from "../../intake/submission.ts";
import { isFinished } from "../../jobs/job.ts";
import type { JobRecord } from "../../jobs/stores/ledger-reads.ts";
import { delay, systemClock } from "../../std/clock.ts";
import { Turns } from "../../std/turns.ts";
import { createLog } from "../../telemetry/log.ts";
import { VERSION } from "../../version.ts";
import type { CliContext, ConfigOptions } from "../context.ts";
import { EXIT, type ExitCode, UsageError, WorkFailedError } from "../exit-code.ts";
import { detailLines, isManifest, readInput } from "../input.ts";
import { listManifest, parseUrlList, splitUrlList } from "../remote/url-list.ts";
import { type StopSignal, stopSignal } from "../stop-signal.ts";
import { openDisplay } from "../terminal/run-display.ts";
import { bytesText, countText, durationText } from "../terminal/units.ts";
import { configOf } from "./config-command.ts";
import { openRunStores } from "./run-stores.ts";
import { s3Access } from "./s3-access.ts";

export interface RunOptions extends ConfigOptions {
  readonly out?: string;
  readonly jobType: string;
}

/** A manifest, and the lines of its resources if it was a list of URLs. */
interface Input {
  readonly body: Uint8Array;
  /** The line of each resource in the list. */
  readonly lines?: readonly number[];
}

const REFRESH_MS = 100;
const LINES_PER_LOOK = 1000;
/** A list of any length becomes one job. */
const LIST_LIMITS = { api: { max_resources_per_manifest: 1_000_000, max_payload_bytes: "1GiB" } };

/**
 * Runs one manifest or list of URLs in this process, with the service's code and temporary stores. A stopped run starts
 * again from the beginning.
 */
export async function run(file: string, options: RunOptions, context: CliContext): Promise<ExitCode> {
  const input = readJob(file);
  using stores = openRunStores();
  // The listener comes first: a signal that ends the process would leave the stores behind.
  const stop = new AbortController();
  void stopSignal(() => stores[Symbol.dispose](), hangup()).then((signal) => stop.abort(signal));
  const at = { path: stores.folder };
  const config = configOf(options, context, {
    queue: at,
    ledger: at,
    dlq: at,
    // No account of the running downloads survives, so a stop need not wait for them.
    server: { shutdown_grace_ms: 0 },
    ...(options.out !== undefined && { storage: { backend: "local", path: options.out } }),
    ...(input.lines !== undefined && LIST_LIMITS),
  });
  const log = createLog({ ...config.log, level: "fatal", destination: { write: context.err, isTerminal: false } });
  const credentials = await s3Access(config.storage, options, context, log);
  const app = await createApp(config, { log, clock: systemClock, version: VERSION, credentials, command: "run" });
  const broken = app.broken.then((error) => Promise.reject(error));
  const work = async () => {
    try {
      await app.start();
      const { job_id: jobId } = await submit(app, input, options.jobType);
      return await runJob(app, jobId, context, stop.signal);
    } finally {
      await app.stop();
    }
  };
  // With a broken store the job would never end.
  return await Promise.race([broken, work()]);
}

function readJob(file: string): Input {
  const bytes = readInput(file);
  if (isManifest(bytes)) return { body: bytes };
  const urls = parseUrlList(new TextDecoder().decode(bytes));
  const [part = { resources: [], lines: [] }] = splitUrlList(urls, urls.length);
  return { body: listManifest(part, {}), lines: part.lines };
}

/** Resolves once the terminal is closed. The listener stays: log-update ends the process if its own is the last. */
function hangup(): Promise<void> {
  return new Promise((resolve) => process.on("SIGHUP", () => resolve()));
}

async function runJob(app: App, jobId: string, context: CliContext, stop: AbortSignal): Promise<ExitCode> {
  const startedAt = systemClock.monotonic();
  const display = await openDisplay(context);
  let job = await findJob(app, jobId);
  const turns = new Turns();
  let offset = 0;
  for (;;) {
    const { rows, next } = await app.stores.ledger.logs(job, offset, LINES_PER_LOOK, ["info", "warn", "error"]);
    offset = next;
    display.print(rows);
    job = await findJob(app, jobId);
    display.show(job, app);
    if (isFinished(job.status) && offset === job.logCount) break;
    if (stop.aborted) break;
    if (rows.length === LINES_PER_LOOK) await turns.next();
    else await delay(systemClock, REFRESH_MS, stop).catch(() => {});
  }
  const isDone = isFinished(job.status);
  display.end(isDone);
  const seconds = (systemClock.monotonic() - startedAt) / 1000;
  if (isDone) context.out(`${summary(job, seconds)}\nmanifest: ${job.manifestUrl}\n`);
  else context.out(interrupted(job, stop.reason as StopSignal, seconds));
  return job.status === "completed" ? EXIT.done : EXIT.failed;
}

async function submit(app: App, { body, lines }: Input, jobType: string): Promise<SubmissionAnswer["body"]> {
  const span = app.tracer.start("run", "server", undefined);
  try {
    return (await app.submit({ jobType, tenant: "default", trace: span.context, body })).body;
  } catch (error) {
    if (!(error instanceof IntakeError)) throw error;
    const text = `${error.code}: ${error.message}${detailLines(error, (path) => placeText(path, lines))}`;
    if (error.code === "INVALID_PAYLOAD" || error.code === "UNSUPPORTED_JOB_TYPE") {
      throw new UsageError(text, { cause: error });
    }
    const reason = error.cause instanceof Error ? ` (${error.cause.message})` : "";
    throw new WorkFailedError(text + reason, { cause: error });
  } finally {
    span.end(() => ({ attributes: { "fetchbox.job_type": jobType } }));
  }
}

/** The place in the user's own file. */
function placeText(path: string, lines: readonly number[] | undefined): string {
  const line = lines?.[Number(/^\/resources\/(\d+)\//.exec(path)?.[1])];
  return line === undefined ? path : `line ${line}`;
}

async function findJob(app: App, jobId: string): Promise<JobRecord> {
  const job = await app.stores.ledger.findJob(jobId);
  if (job === undefined) throw new Error(`job ${jobId} is not in the ledger`);
  return job;
}

function summary(job: JobRecord, seconds: number): string {
  return `job ${job.jobId} ${job.status}: ${countsText(job)} in ${durationText(seconds)}`;
}

function countsText(job: JobRecord): string {
  const counts = [`${countText(job.completed)} of ${countText(job.total)} stored`];
  if (job.failed > 0) counts.push(`${countText(job.failed)} failed`);
  const left = job.total - job.completed - job.failed - job.cancelled;
  if (left > 0) counts.push(`${countText(left)} not done`);
  return `${counts.join(", ")}, ${bytesText(job.bytes)}`;
}

/** The state of an interrupted job, and the next commands. */
function interrupted(job: JobRecord, signal: StopSignal, seconds: number): string {
  const how = signal === "SIGINT" ? "by Ctrl-C" : `by ${signal}`;
  return (
    `interrupted ${how} after ${durationText(seconds)}: ${countsText(job)}\n` +
    `stored objects stay; manifest: ${job.manifestUrl}\n` +
    "the same command starts from the beginning; a service continues after a stop: fetchbox serve, then " +
    "fetchbox submit FILE --wait\n"
  );
}
