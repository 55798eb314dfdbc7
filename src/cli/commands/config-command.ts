import { ConfigError, type Problem, warningLine } from "../../config/config-error.ts";
import { type LoadedConfig, loadLayers } from "../../config/load-config.ts";
import { listConfig, printConfig } from "../../config/print-config.ts";
import type { Config } from "../../config/schema.ts";
import { HandlerLoadError } from "../../intake/handlers/file-handler.ts";
import type { Message } from "../../intake/handlers/thread-protocol.ts";
import { systemClock } from "../../std/clock.ts";
import { closeHandlers, loadHandlers } from "../../wiring/load-handlers.ts";
import type { CliContext, ConfigOptions } from "../context.ts";
import { EXIT, type ExitCode } from "../exit-code.ts";
import { jsonLine } from "../terminal/terminal-text.ts";
import { configurationText, placesText, placeTexts } from "./config-places.ts";

export interface ConfigCommandOptions extends ConfigOptions {
  readonly json?: true;
}

const CHAIN_NOTE =
  "note: no S3 keys are set; a start asks the AWS chain for keys (shared files, web identity, container, " +
  "instance metadata), but this check does not\n";

/** The effective configuration of the command's options and the environment, with origins. @throws ConfigError */
export function loadedOf(
  options: ConfigOptions,
  { env, cwd }: CliContext,
  overrides?: Parameters<typeof loadLayers>[0]["overrides"],
): LoadedConfig {
  return loadLayers({ env, cwd, configPath: options.config, envFile: options.envFile, overrides });
}

/** The effective configuration; prints its warnings to standard error. @throws ConfigError */
export function configOf(
  options: ConfigOptions,
  context: CliContext,
  overrides?: Parameters<typeof loadLayers>[0]["overrides"],
): Config {
  const loaded = loadedOf(options, context, overrides);
  warn(loaded, context);
  return loaded.config;
}

function warn({ warnings }: LoadedConfig, { err }: CliContext): void {
  for (const warning of warnings) err(warningLine(warning));
}

/** Checks the configuration and loads the handlers. @throws ConfigError, HandlerLoadError; `--json` prints them */
export async function configCheck(options: ConfigCommandOptions, context: CliContext): Promise<ExitCode> {
  if (options.json !== true) {
    const loaded = loadedOf(options, context);
    warn(loaded, context);
    nameHandlers(loaded.config, context.out);
    await tryHandlers(loaded.config, context);
    context.out(`the configuration is valid\n${placesText(loaded, context.cwd)}\n`);
    if (needsChain(loaded.config)) context.out(CHAIN_NOTE);
    return EXIT.done;
  }
  try {
    const loaded = loadedOf(options, context);
    nameHandlers(loaded.config, context.err);
    await tryHandlers(loaded.config, context);
    context.out(jsonLine({ ok: true, ...placesOf(loaded, context.cwd), warnings: loaded.warnings }));
    return EXIT.done;
  } catch (error) {
    context.out(jsonLine({ ok: false, problems: problemsOf(error) }));
    return EXIT.usage;
  }
}

/** Names each file before its code runs, for a person who checks a foreign configuration. */
function nameHandlers({ handlers }: Config, print: (text: string) => void): void {
  for (const [jobType, { handler: file }] of Object.entries(handlers)) {
    if (file !== "default") print(`note: [handlers.${jobType}] runs the code of ${file}, as a start does\n`);
  }
}

async function tryHandlers({ handlers }: Config, { err }: CliContext): Promise<void> {
  const onMessage = (jobType: string, { level, text }: Message) => err(`[handlers.${jobType}] ${level}: ${text}\n`);
  closeHandlers(await loadHandlers(handlers, { onMessage, clock: systemClock }));
}

function problemsOf(error: unknown): readonly Problem[] {
  if (error instanceof ConfigError) return error.problems;
  if (error instanceof HandlerLoadError)
    return error.lines.map((message) => ({ source: "handlers", key: "", message }));
  throw error;
}

function placesOf(loaded: LoadedConfig, cwd: string) {
  return { ...placeTexts(loaded, cwd), asks_aws_chain: needsChain(loaded.config) };
}

function needsChain({ storage }: Config): boolean {
  return storage.backend === "s3" && storage.credentials === undefined;
}

/** Prints the configuration as TOML with the layer of each value; with `--json` as JSON with a row for each value. */
export function configPrint(options: ConfigCommandOptions, context: CliContext): void {
  const loaded = loadedOf(options, context);
  warn(loaded, context);
  const { config, file } = loaded;
  if (options.json !== true) {
    const head = `# configuration: ${configurationText(file)}\n`;
    return context.out(head + printConfig(config, loaded));
  }
  context.out(jsonLine({ configuration: configurationText(file), values: listConfig(loaded) }));
}
