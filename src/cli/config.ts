import { loadConfig } from "../config/load.ts";
import { printConfig } from "../config/print.ts";
import type { Config } from "../config/schema.ts";
import type { CliContext, ConfigOptions } from "./program.ts";

/** The configuration that the command's options and the environment add up to. @throws ConfigError */
export function configOf(
  options: ConfigOptions,
  { env, cwd }: CliContext,
  overrides?: Parameters<typeof loadConfig>[0]["overrides"],
): Config {
  return loadConfig({ env, cwd, configPath: options.config, envFile: options.envFile, overrides });
}

export function configCheck(options: ConfigOptions, context: CliContext): void {
  configOf(options, context);
  context.out("the configuration is good\n");
}

export function configPrint(options: ConfigOptions, context: CliContext): void {
  context.out(printConfig(configOf(options, context)));
}
