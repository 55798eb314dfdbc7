import { loadConfig } from "../config/load.ts";
import { printConfig } from "../config/print.ts";
import type { Config } from "../config/schema.ts";
import type { Said } from "../intake/handlers/thread-protocol.ts";
import { systemClock } from "../jobs/clock.ts";
import { closeHandlers, loadHandlers } from "../wiring/handlers.ts";
import type { CliContext, ConfigOptions } from "./program.ts";

const CHAIN_NOTE =
  "note: no S3 keys are set here; the start asks the AWS chain for them (shared files, web identity, container, " +
  "instance metadata), this check does not\n";

/** The configuration that the command's options and the environment add up to. @throws ConfigError */
export function configOf(
  options: ConfigOptions,
  { env, cwd }: CliContext,
  overrides?: Parameters<typeof loadConfig>[0]["overrides"],
): Config {
  return loadConfig({ env, cwd, configPath: options.config, envFile: options.envFile, overrides });
}

/** Loads the handlers, too, as a start would. @throws ConfigError, HandlerLoadError */
export async function configCheck(options: ConfigOptions, context: CliContext): Promise<void> {
  const { handlers, storage } = configOf(options, context);
  const onSaid = (jobType: string, { level, text }: Said) =>
    context.err(`[handlers.${jobType}] says: ${level}: ${text}\n`);
  closeHandlers(await loadHandlers(handlers, { onSaid, clock: systemClock }));
  context.out("the configuration is good\n");
  if (storage.backend === "s3" && storage.credentials === undefined) context.out(CHAIN_NOTE);
}

export function configPrint(options: ConfigOptions, context: CliContext): void {
  context.out(printConfig(configOf(options, context)));
}
