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
import { checkProbe, type HealthFlags, showHealth } from "./show-health.ts";
import { type JobsFlags, listJobs, showJob } from "./show-jobs.ts";
import { type LogsFlags, showLogs } from "./show-logs.ts";
import { showQueue, switchQueue } from "./show-queue.ts";
import { type ResourcesFlags, showResources } from "./show-resources.ts";
import { type SubmitFlags, submitFile } from "./submit-file.ts";
import { showTop, type TopFlags } from "./top/show-top.ts";

/** Adds the commands for a running service. `setCode` receives the exit code. */
export function addRemoteCommands(program: Command, context: CliContext, setCode: (code: ExitCode) => void): void {
  const remote = remoteWith(context);
  remote(program, "submit <file>", "submit a manifest, or a list with one URL per line; - is standard input")
    .option("--wait", "wait until the jobs end; exit code 1 unless everything is stored")
    .option("--timeout <seconds>", "longest time to wait, for a busy service or for the end of the jobs")
    .option("--job-type <name>", "the job type, which selects the handler")
    .option("--tenant <name>", "the tenant, a label for filters")
    .option("--idempotency-key <key>", "a second submission under the same key returns the same job")
    .option("--batch <count>", "URLs per job, for a list", "1000")
    .action(async (file: string, flags: SubmitFlags) =>
      setCode(await submitFile(file, flags, remoteOf(flags, context))),
    );

  remote(program, "jobs", "list jobs, newest first")
    .option("--status <status>", "only this status: queued, in_progress, completed, partial, failed, cancelled")
    .option("--job-type <name>", "only this job type")
    .option("--tenant <name>", "only this tenant")
    .option("--idempotency-key <key>", "only the job of this key")
    .option("--limit <count>", "most jobs to list", "20")
    .option("--cursor <cursor>", "continue a list at this cursor")
    .action((flags: JobsFlags) => listJobs(flags, remoteOf(flags, context)));

  remote(program, "status <job-id>", "show one job; exit code 1 if it has failures").action(
    async (jobId: string, flags: RemoteFlags) => setCode(await showJob(jobId, flags, remoteOf(flags, context))),
  );

  remote(program, "logs <job-id>", "print a job's log")
    .option("--follow", "print new rows until the job ends")
    .option("--level <level>", "only this level and higher: debug, info, warn, error")
    .action((jobId: string, flags: LogsFlags) => showLogs(jobId, flags, remoteOf(flags, context)));

  remote(program, "resources <job-id>", "list the resources of a job and their objects; --json prints one per line")
    .option("--state <state>", `only this state: ${TASK_STATES.join(", ")}`)
    .option("--limit <count>", "most resources to list; default: all")
    .action((jobId: string, flags: ResourcesFlags) => showResources(jobId, flags, remoteOf(flags, context)));

  remote(program, "cancel [job-id]", "cancel one job, or all unfinished jobs that match a filter")
    .option("--job-type <name>", "only this job type")
    .option("--tenant <name>", "only this tenant")
    .option("--status <status>", "only this status: queued, in_progress")
    .option("--all", "all unfinished jobs")
    .option("--dry-run", "only print the number of jobs")
    .option("--yes", "cancel without a question")
    .action((jobId: string | undefined, flags: CancelFlags) => cancelJobs(jobId, flags, remoteOf(flags, context)));

  addDeadLetterCommands(program.command("dlq").description("list, replay or discard dead letters"), context);

  remote(program, "health", "show the health of the service; exit code 1 if it is unhealthy")
    .option("--live", "only check that the service answers; needs no token")
    .option("--ready", "only check that the service accepts jobs; needs no token")
    .action(async (flags: HealthFlags) => {
      const probes = flags.live === true || flags.ready === true;
      if (probes) await checkProbe(flags, remoteOf(flags, context));
      else setCode(await showHealth(flags, remoteOf(flags, context)));
    });
  remote(program, "queue", "show pending and running tasks, their limits and the busiest hosts").action(
    (flags: RemoteFlags) => showQueue(flags, remoteOf(flags, context)),
  );
  remote(program, "top", "show the queue, its running downloads and hosts, every second at a terminal; q quits")
    .option("--once", "print one snapshot, also at a terminal")
    .action((flags: TopFlags) => showTop(flags, remoteOf(flags, context)));
  for (const [to, description] of [
    ["pause", "stop starting downloads; running ones finish"],
    ["resume", "start downloads again"],
  ] as const) {
    remote(program, to, description).action((flags: RemoteFlags) => switchQueue(to, flags, remoteOf(flags, context)));
  }
}

function addDeadLetterCommands(dlq: Command, context: CliContext): void {
  const remote = remoteWith(context);
  filtered(remote(dlq, "list", "list dead letters, the newest task first"))
    .option("--limit <count>", "most dead letters to list", "20")
    .option("--cursor <cursor>", "continue a list at this cursor")
    .action((flags: ListFlags) => listDeadLetters(flags, remoteOf(flags, context)));
  remote(dlq, "show <task-id>", "show one dead letter with its attempts").action((id: string, flags: RemoteFlags) =>
    showDeadLetter(id, flags, remoteOf(flags, context)),
  );
  filtered(remote(dlq, "analyze", "count dead letters by group"))
    .option("--by <group>", "the group: code, host, job_type or day", "code")
    .action((flags: AnalyzeFlags) => analyzeDeadLetters(flags, remoteOf(flags, context)));
  filtered(remote(dlq, "replay [task-ids...]", "replay dead letters by ids or by a filter"))
    .option("--all", "all dead letters")
    .option("--dry-run", "only print the number of dead letters")
    .option("--rate <per-second>", "tasks per second")
    .option("--header <line>", 'a header for the replay, "Name: value"; repeatable', collect)
    .option("--proxy-pool <name>", "the proxy pool for the replay")
    .action((ids: string[], flags: ReplayFlags) => replayDeadLetters(ids, flags, remoteOf(flags, context)));
  filtered(remote(dlq, "rm [task-ids...]", "discard dead letters by ids or by a filter"))
    .option("--all", "all dead letters")
    .option("--dry-run", "only print the number of dead letters")
    .action((ids: string[], flags: SelectFlags) => removeDeadLetters(ids, flags, remoteOf(flags, context)));
  remote(dlq, "operations", "list the bulk operations (replays and discards), newest first").action(
    (flags: RemoteFlags) => listOperations(flags, remoteOf(flags, context)),
  );
  remote(dlq, "stop <operation>", "stop a bulk operation").action((id: string, flags: RemoteFlags) =>
    stopOperation(id, flags, remoteOf(flags, context)),
  );
}

function collect(line: string, before: readonly string[] = []): readonly string[] {
  return [...before, line];
}

/** Makes the commands for a running service. */
function remoteWith(context: CliContext) {
  return (parent: Command, name: string, description: string): Command =>
    parent
      .command(name)
      .description(description)
      .option(
        "--server <url>",
        `URL of the service; default: FETCHBOX_SERVER, else ${DEFAULT_SERVER}; FETCHBOX_TOKEN sets the token`,
      )
      .option("--json", "print the service's JSON")
      .hook("preAction", (command) => {
        refuseEmpty(command);
        return warnOfUnknown(context);
      });
}

/** Refuses an empty argument, most likely an unset variable of a shell script. @throws UsageError */
function refuseEmpty({ args, registeredArguments: known }: Command): void {
  const at = args.indexOf("");
  if (at < 0) return;
  throw new UsageError(`<${known[Math.min(at, known.length - 1)]?.name()}> must not be empty`);
}

/** Warns of unknown variables. The configuration's names take long to load, so this loads them only for a warning. */
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
    .option("--job-type <name>", "only this job type")
    .option("--tenant <name>", "only this tenant")
    .option("--since <time>", "only failures at or after this time: RFC 3339, or a local day like 2026-11-28")
    .option("--until <time>", "only failures before this time");
}
