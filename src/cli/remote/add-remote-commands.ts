import type { Command } from "commander";
import { warningLine } from "../../config/config-error.ts";
import { isUnknownVariable } from "../../config/sources/variables.ts";
import { TASK_STATES } from "../../jobs/task.ts";
import type { CliContext } from "../context.ts";
import { type ExitCode, UsageError } from "../exit-code.ts";
import { type CancelFlags, cancelJobs } from "./cancel-jobs.ts";
import { listOperations, stopOperation } from "./operations.ts";
import { DEFAULT_SERVER, type RemoteFlags, remoteOf } from "./remote-context.ts";
import {
  type AnalyzeFlags,
  analyzeDeadLetters,
  type ListFlags,
  listDeadLetters,
  type ReplayFlags,
  removeDeadLetters,
  replayDeadLetters,
  type SelectFlags,
  showDeadLetter,
} from "./remote-dead-letters.ts";
import { showHealth } from "./show-health.ts";
import { type JobsFlags, listJobs, showJob } from "./show-jobs.ts";
import { type LogsFlags, showLogs } from "./show-logs.ts";
import { showQueue, switchQueue } from "./show-queue.ts";
import { type ResourcesFlags, showResources } from "./show-resources.ts";
import { type SubmitFlags, submitFile } from "./submit-file.ts";

/** The commands that talk to a running service. `setCode` takes what the process is to end with. */
export function addRemoteCommands(program: Command, context: CliContext, setCode: (code: ExitCode) => void): void {
  const remote = remoteWith(context);
  remote(program, "submit <file>", "submit a manifest, or a list of URLs, one a line; - reads standard input")
    .option("--wait", "wait for the end; ends with 1 unless everything is stored")
    .option("--timeout <seconds>", "wait no longer than that, for a busy service or for the end")
    .option("--job-type <name>", "the job type, which names its handler")
    .option("--tenant <name>", "a label to list the jobs by")
    .option("--idempotency-key <key>", "submitted again under this key, it is the same job")
    .option("--batch <count>", "URLs of a list per job", "1000")
    .action(async (file: string, flags: SubmitFlags) =>
      setCode(await submitFile(file, flags, remoteOf(flags, context))),
    );

  remote(program, "jobs", "list jobs, newest first")
    .option("--status <status>", "only these: queued, in_progress, completed, partial, failed, cancelled")
    .option("--job-type <name>", "only this type")
    .option("--tenant <name>", "only this tenant")
    .option("--idempotency-key <key>", "only what was submitted under this key")
    .option("--limit <count>", "how many", "20")
    .option("--cursor <cursor>", "where to go on")
    .action((flags: JobsFlags) => listJobs(flags, remoteOf(flags, context)));

  remote(program, "status <job-id>", "show one job; ends with 1 if it has failures").action(
    async (jobId: string, flags: RemoteFlags) => setCode(await showJob(jobId, flags, remoteOf(flags, context))),
  );

  remote(program, "logs <job-id>", "print a job's log")
    .option("--follow", "go on until the job has ended")
    .option("--level <level>", "only this level and worse: debug, info, warn, error")
    .action((jobId: string, flags: LogsFlags) => showLogs(jobId, flags, remoteOf(flags, context)));

  remote(program, "resources <job-id>", "show where the files of a job are; with --json one a line")
    .option("--state <state>", `only these: ${TASK_STATES.join(", ")}`)
    .option("--limit <count>", "how many; else all")
    .action((jobId: string, flags: ResourcesFlags) => showResources(jobId, flags, remoteOf(flags, context)));

  remote(program, "cancel [job-id]", "cancel a job, or all jobs of a filter that have not ended")
    .option("--job-type <name>", "only this type")
    .option("--tenant <name>", "only this tenant")
    .option("--status <status>", "only these: queued, in_progress")
    .option("--all", "all of them")
    .option("--dry-run", "only say how many")
    .option("--yes", "do not ask")
    .action((jobId: string | undefined, flags: CancelFlags) => cancelJobs(jobId, flags, remoteOf(flags, context)));

  addDeadLetterCommands(program.command("dlq").description("look at dead letters, and try them again"), context);

  remote(program, "health", "show how the service is; ends with 1 if it is unhealthy").action(
    async (flags: RemoteFlags) => setCode(await showHealth(flags, remoteOf(flags, context))),
  );
  remote(program, "queue", "show what waits, what limits it, and for which hosts").action((flags: RemoteFlags) =>
    showQueue(flags, remoteOf(flags, context)),
  );
  for (const [to, description] of [
    ["pause", "let no more downloads begin; what runs goes on"],
    ["resume", "let downloads begin again"],
  ] as const) {
    remote(program, to, description).action((flags: RemoteFlags) => switchQueue(to, flags, remoteOf(flags, context)));
  }
}

function addDeadLetterCommands(dlq: Command, context: CliContext): void {
  const remote = remoteWith(context);
  filtered(remote(dlq, "list", "list dead letters, newest first"))
    .option("--limit <count>", "how many", "20")
    .option("--cursor <cursor>", "where to go on")
    .action((flags: ListFlags) => listDeadLetters(flags, remoteOf(flags, context)));
  remote(dlq, "show <task-id>", "show one dead letter with its attempts").action((id: string, flags: RemoteFlags) =>
    showDeadLetter(id, flags, remoteOf(flags, context)),
  );
  filtered(remote(dlq, "analyze", "count dead letters by what they have in common"))
    .option("--by <what>", "code, host, job_type or day", "code")
    .action((flags: AnalyzeFlags) => analyzeDeadLetters(flags, remoteOf(flags, context)));
  filtered(remote(dlq, "replay [task-ids...]", "try dead letters again, by ids or by a filter"))
    .option("--all", "all of them")
    .option("--dry-run", "only say how many")
    .option("--rate <per-second>", "so many per second")
    .option("--header <line>", 'another header, "Name: value"; may be given more than once', collect)
    .option("--proxy-pool <name>", "another proxy pool")
    .action((ids: string[], flags: ReplayFlags) => replayDeadLetters(ids, flags, remoteOf(flags, context)));
  filtered(remote(dlq, "rm [task-ids...]", "give dead letters up, by ids or by a filter"))
    .option("--all", "all of them")
    .option("--dry-run", "only say how many")
    .action((ids: string[], flags: SelectFlags) => removeDeadLetters(ids, flags, remoteOf(flags, context)));
  remote(dlq, "operations", "list replays and give-ups by a filter, the latest first").action((flags: RemoteFlags) =>
    listOperations(flags, remoteOf(flags, context)),
  );
  remote(dlq, "stop <operation>", "stop a replay or a give-up where it is").action((id: string, flags: RemoteFlags) =>
    stopOperation(id, flags, remoteOf(flags, context)),
  );
}

function collect(line: string, before: readonly string[] = []): readonly string[] {
  return [...before, line];
}

/** Makes commands that talk to a running service. */
function remoteWith(context: CliContext) {
  return (parent: Command, name: string, description: string): Command =>
    parent
      .command(name)
      .description(description)
      .option("--server <url>", `the service; else FETCHBOX_SERVER, else ${DEFAULT_SERVER}. A token: FETCHBOX_TOKEN`)
      .option("--json", "as JSON, as the service says it")
      .hook("preAction", (command) => {
        refuseEmpty(command);
        return warnOfUnknown(context);
      });
}

/** A shell's variable that is not set, most likely. @throws UsageError */
function refuseEmpty({ args, registeredArguments: known }: Command): void {
  const at = args.indexOf("");
  if (at < 0) return;
  throw new UsageError(`<${known[Math.min(at, known.length - 1)]?.name()}> is empty`);
}

/** The configuration's names take long to load: only where there is something to say. */
async function warnOfUnknown({ env, err }: CliContext): Promise<void> {
  if (!Object.keys(env).some(isUnknownVariable)) return;
  const { unknownInEnvironment } = await import("../../config/load-config.ts");
  for (const problem of unknownInEnvironment(env)) err(warningLine(problem));
}

function filtered(command: Command): Command {
  return command
    .option("--code <code>", "only this failure code")
    .option("--host <host>", "only this host")
    .option("--job-id <id>", "only this job")
    .option("--job-type <name>", "only this type")
    .option("--tenant <name>", "only this tenant")
    .option("--since <time>", "failed at this time or later: RFC 3339, or a local day")
    .option("--until <time>", "failed before this time");
}
