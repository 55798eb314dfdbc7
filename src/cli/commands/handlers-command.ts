import { resolve } from "node:path";
import type { Message } from "../../intake/handlers/thread-protocol.ts";
import { IntakeError } from "../../intake/intake-error.ts";
import type { Task } from "../../jobs/task.ts";
import { publicUrl } from "../../net/public-url.ts";
import { systemClock } from "../../std/clock.ts";
import { checkHandler } from "../../wiring/handler-check.ts";
import type { CliContext, ConfigOptions } from "../context.ts";
import { UsageError } from "../exit-code.ts";
import { detailLines, readInput } from "../input.ts";
import { table } from "../terminal/table.ts";
import { jsonLine } from "../terminal/terminal-text.ts";
import { counted } from "../terminal/units.ts";
import { configOf } from "./config-command.ts";

export interface HandlersCheckOptions extends ConfigOptions {
  readonly jobType?: string;
  readonly json?: true;
}

/** Prints the tasks that a handler makes of a manifest. @throws HandlerLoadError, UsageError */
export async function handlersCheck(
  file: string,
  manifest: string,
  options: HandlersCheckOptions,
  context: CliContext,
): Promise<void> {
  const config = configOf(options, context);
  const path = file === "default" ? file : resolve(context.cwd, file);
  const named = Object.entries(config.handlers).find(([, { handler }]) => handler === path)?.[0];
  const jobType = options.jobType ?? named ?? "default";
  const settings = config.handlers[jobType];
  if (settings === undefined) throw new UsageError(`there is no [handlers.${jobType}] in the configuration`);
  const onMessage = ({ level, text }: Message) => context.err(`${level}: ${text}\n`);
  const tasks: Task[] = [];
  try {
    const check = {
      jobType,
      settings: { ...settings, handler: path },
      isConfigured: settings.handler === path,
      manifest: readInput(resolve(context.cwd, manifest)),
    };
    for await (const batch of checkHandler(check, config, { onMessage, clock: systemClock })) tasks.push(...batch);
  } catch (error) {
    if (!(error instanceof IntakeError)) throw error;
    throw new UsageError(problemText(error), { cause: error });
  }
  if (options.json === true) for (const task of tasks) context.out(jsonLine(task));
  else context.out(tasksText(tasks, jobType));
}

function problemText(error: IntakeError): string {
  const { code, message, cause } = error;
  // The author of a handler needs the line that threw.
  const thrown = code === "HANDLER_ERROR" && cause instanceof Error ? `\n${cause.stack ?? cause.message}` : "";
  return `${code}: ${message}${detailLines(error)}${thrown}`;
}

function tasksText(tasks: readonly Task[], jobType: string): string {
  const columns = [
    { title: "RESOURCE", isElastic: true },
    { title: "URL", isElastic: true },
    { title: "OBJECT", isElastic: true },
    { title: "HEADERS", isElastic: true },
    { title: "PROXIES", expendable: 1 },
  ] as const;
  const rows = tasks.map(({ resourceId, url, bucket, key, headers = {}, proxyPool = "" }) => [
    resourceId,
    publicUrl(url),
    `${bucket}/${key}`,
    Object.keys(headers).join(", "),
    proxyPool,
  ]);
  const width = process.stdout.isTTY ? process.stdout.columns : undefined;
  const end = `${counted(tasks.length, "task")} with the settings of [handlers.${jobType}]; nothing was downloaded`;
  return `${table(columns, rows, width)}${end}\n`;
}
