import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type App, createApp } from "../app.ts";
import { IntakeError } from "../intake/intake-error.ts";
import type { SubmissionAnswer } from "../intake/submission.ts";
import { delay, systemClock } from "../jobs/clock.ts";
import { isFinished } from "../jobs/job.ts";
import { isOwnFolder } from "../jobs/own-folder.ts";
import { Turns } from "../jobs/turns.ts";
import { lockDirectory } from "../sqlite/directory-lock.ts";
import type { JobRecord, LogRecord } from "../sqlite/ledger.ts";
import { createLog } from "../telemetry/log.ts";
import { VERSION } from "../version.ts";
import { configOf } from "./config.ts";
import { EXIT, type ExitCode, UsageError, WorkFailedError } from "./exit-code.ts";
import type { CliContext, ConfigOptions } from "./program.ts";
import { Progress } from "./progress.ts";
import { s3Access } from "./s3-access.ts";
import { stopSignal } from "./stop-signal.ts";
import { type TerminalLine, terminalLine } from "./terminal-line.ts";
import { printable } from "./terminal-text.ts";
import { bytesText, durationText } from "./units.ts";

export interface RunOptions extends ConfigOptions {
  readonly out?: string;
  readonly jobType: string;
}

const BOOKS = "fetchbox-run-";
const SETTLED_MS = 60_000;
/** What `mkdtemp` does not give: anybody else's right to read or write. */
const OTHERS = 0o077;
const REFRESH_MS = 100;
const LINES_PER_LOOK = 1000;

/**
 * Runs one manifest to its end in this process: the same line as the service, with books of its own that go when it
 * ends. Nothing is answered, so nothing is kept: whoever stops it starts it again.
 */
export async function run(manifest: string, options: RunOptions, context: CliContext): Promise<ExitCode> {
  const body = readManifest(manifest);
  sweepDeadRuns();
  const books = mkdtempSync(join(tmpdir(), BOOKS));
  try {
    const paths = { queue: { path: books }, ledger: { path: books }, dlq: { path: books } };
    const storage = options.out === undefined ? {} : { storage: { backend: "local", path: options.out } };
    const config = configOf(options, context, { ...paths, ...storage });
    const log = createLog({ ...config.log, level: "fatal", destination: { write: context.err, isTerminal: false } });
    const credentials = await s3Access(config.storage, options, context, log);
    const app = await createApp(config, { log, clock: systemClock, version: VERSION, credentials, command: "run" });
    const broken = app.broken.then((error) => Promise.reject(error));
    const work = async () => {
      try {
        await app.start();
        return await runJob(app, body, options.jobType, context);
      } finally {
        await app.stop();
      }
    };
    // Nothing would come to its end without its books.
    return await Promise.race([broken, work()]);
  } finally {
    rmSync(books, { recursive: true, force: true });
  }
}

/** Removes the books of runs that were killed: they hold their tasks' headers. */
function sweepDeadRuns(): void {
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(BOOKS)) continue;
    const folder = join(tmpdir(), name);
    try {
      const found = lstatSync(folder);
      if (!isOwnFolder(found) || (found.mode & OTHERS) !== 0) continue;
      // Younger ones may be about to be locked.
      if (Date.now() - found.mtimeMs < SETTLED_MS) continue;
      const release = lockDirectory(folder);
      rmSync(folder, { recursive: true, force: true });
      release();
    } catch {
      // Somebody else's, or at work.
    }
  }
}

function readManifest(path: string): Uint8Array {
  try {
    return readFileSync(path === "-" ? 0 : path);
  } catch (error) {
    throw new UsageError(`the manifest cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

async function runJob(app: App, body: Uint8Array, jobType: string, context: CliContext): Promise<ExitCode> {
  const stop = new AbortController();
  void stopSignal(() => {}).then((signal) => stop.abort(new Error(`stopped by ${signal}`)));
  const startedAt = systemClock.monotonic();
  const { job_id: jobId } = await submit(app, body, jobType);
  const screen = await terminalLine();
  const display = screen === undefined ? plainDisplay(context) : terminalDisplay(screen);
  let job = findJob(app, jobId);
  const turns = new Turns();
  let offset = 0;
  for (;;) {
    const { rows, next } = app.stores.ledger.logs(job, offset, LINES_PER_LOOK, ["info", "warn", "error"]);
    offset = next;
    display.tell(rows);
    job = findJob(app, jobId);
    display.show(job, app);
    if (isFinished(job.status) && offset === job.logCount) break;
    if (rows.length === LINES_PER_LOOK) {
      await turns.next();
      continue;
    }
    await delay(systemClock, REFRESH_MS, stop.signal).catch(() => {});
    if (stop.signal.aborted) break;
  }
  display.end();
  const seconds = (systemClock.monotonic() - startedAt) / 1000;
  context.out(`${summary(job)} in ${durationText(seconds)}\nmanifest: ${job.manifestUrl}\n`);
  return job.status === "completed" ? EXIT.done : EXIT.failed;
}

async function submit(app: App, body: Uint8Array, jobType: string): Promise<SubmissionAnswer["body"]> {
  const span = app.tracer.start("run", "server", undefined);
  try {
    return (await app.submit({ jobType, tenant: "default", trace: span.context, body })).body;
  } catch (error) {
    if (!(error instanceof IntakeError)) throw error;
    const details = (error.details ?? [])
      .map(({ path, message }) => `\n  ${path === "" ? "the file" : path}: ${message}`)
      .join("");
    const text = `${error.code}: ${error.message}${details}`;
    if (error.code === "INVALID_PAYLOAD" || error.code === "UNSUPPORTED_JOB_TYPE") {
      throw new UsageError(text, { cause: error });
    }
    const reason = error.cause instanceof Error ? ` (${error.cause.message})` : "";
    throw new WorkFailedError(text + reason, { cause: error });
  } finally {
    span.end(() => ({ attributes: { "fetchbox.job_type": jobType } }));
  }
}

function findJob(app: App, jobId: string): JobRecord {
  const job = app.stores.ledger.findJob(jobId);
  if (job === undefined) throw new Error(`job ${jobId} is not in the ledger`);
  return job;
}

function summary(job: JobRecord): string {
  const counts = [`${job.completed} of ${job.total} stored`];
  if (job.failed > 0) counts.push(`${job.failed} failed`);
  const left = job.total - job.completed - job.failed - job.cancelled;
  if (left > 0) counts.push(`${left} not done`);
  return `job ${job.jobId} ${job.status}: ${counts.join(", ")}, ${bytesText(job.bytes)}`;
}

type LogLines = readonly LogRecord[];

interface Display {
  tell(lines: LogLines): void;
  show(job: JobRecord, app: App): void;
  end(): void;
}

/** A line per event, for logs and pipes. */
function plainDisplay({ out }: CliContext): Display {
  return { tell: (lines) => lines.forEach((line) => out(`${eventText(line)}\n`)), show: () => {}, end: () => {} };
}

/** What goes wrong scrolls by; the job and its downloads stay at the bottom. */
function terminalDisplay(screen: TerminalLine): Display {
  const progress = new Progress();
  return {
    tell(lines) {
      const troubles = lines.filter(({ level }) => level !== "info");
      if (troubles.length === 0) return;
      screen.clear();
      for (const line of troubles) process.stdout.write(`${eventText(line)}\n`);
    },
    show(job, app) {
      const { rows = 24, columns = 80 } = process.stdout;
      screen(progress.render(job, app.active.list(), systemClock.monotonic(), rows, columns).join("\n"));
    },
    end: () => screen.done(),
  };
}

function eventText({ at, level, message, resourceId, fields }: LogLines[number]): string {
  const time = new Date(at).toISOString().slice(11, 19);
  const details = Object.entries(JSON.parse(fields) as Record<string, string | number>)
    .filter(([name]) => name !== "task_id")
    .map(([name, value]) => `${name}=${printable(String(value))}`);
  const subject = resourceId === null ? [] : [printable(resourceId)];
  return [time, level.padEnd(5), ...subject, message, ...details].join(" ");
}
