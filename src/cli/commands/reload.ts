import { ConfigError, renderProblems } from "../../config/config-error.ts";
import { type ConfigValues, isBelow } from "../../config/config-values.ts";
import type { LoadedConfig, Reloadable } from "../../config/load-config.ts";
import type { Config } from "../../config/schema.ts";
import { keyText } from "../../config/sources/key-path.ts";
import { Secret } from "../../config/values/secret.ts";
import { errorText } from "../../std/error-text.ts";
import { isObject } from "../../std/is-object.ts";
import type { Log } from "../../telemetry/log.ts";

interface ReloadDeps {
  /** The configuration at the start of the process. */
  readonly started: Config;
  /** Reads the configuration again. @throws ConfigError */
  readonly read: () => LoadedConfig;
  /** The values that operators see. */
  readonly values: Pick<ConfigValues, "take">;
  readonly reloadables: readonly Reloadable[];
  readonly log: Log;
}

/**
 * Reads the configuration again, passes it to every reloadable part, and logs one line. An invalid configuration
 * changes nothing. The line names the changed keys that need a restart.
 */
export async function reload({ started, read, reloadables, values, log }: ReloadDeps): Promise<void> {
  let loaded: LoadedConfig;
  try {
    loaded = read();
  } catch (error) {
    log.error({ problems: problemsOf(error) }, "reload failed: the configuration is invalid; the old one stays in use");
    return;
  }
  const { config } = loaded;
  const reloaded: Record<string, string> = {};
  const failed: Record<string, string> = {};
  for (const part of reloadables) {
    try {
      reloaded[part.name] = await part.reload(config);
      values.take(loaded, part.keys);
    } catch (error) {
      failed[part.name] = errorText(error);
    }
  }
  const taken = reloadables.flatMap(({ keys }) => keys);
  const restart = changedKeys(started, config).filter((key) => !taken.some((other) => isBelow(key, other)));
  const fields = { reloaded, ...(restart.length > 0 && { needs_restart: restart }) };
  if (Object.keys(failed).length > 0)
    log.error({ ...fields, failed }, "reload failed for some parts; they keep their old configuration");
  else if (restart.length > 0)
    log.warn(fields, "reloaded; the keys in needs_restart keep their old values until a restart");
  else log.info(fields, "reloaded");
}

/** The problems with file, line and key. A TOML error's further lines show the file's text and are left out. */
function problemsOf(error: unknown): string[] {
  const problems = error instanceof ConfigError ? error.problems.map((problem) => renderProblems([problem])) : [error];
  return problems.map((problem) => String(problem).split("\n", 1)[0] ?? "");
}

/** The keys with different values in two configurations, as written in TOML; a list is one value. */
export function changedKeys(before: Config, after: Config): string[] {
  return differences(before, after, []);
}

function differences(before: unknown, after: unknown, path: readonly string[]): string[] {
  if (!isTable(before) || !isTable(after)) return isSame(before, after) ? [] : [keyText(path)];
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...keys].flatMap((key) => differences(before[key], after[key], [...path, key]));
}

function isSame(before: unknown, after: unknown): boolean {
  if (before instanceof Secret && after instanceof Secret) return before.reveal() === after.reveal();
  if (Array.isArray(before) && Array.isArray(after)) {
    return before.length === after.length && before.every((item, at) => isSame(item, after[at]));
  }
  if (isTable(before) && isTable(after)) return differences(before, after, []).length === 0;
  return Object.is(before, after);
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return isObject(value) && !(value instanceof Secret);
}
