import { loadAwsVariables } from "../../config/load-config.ts";
import type { StorageConfig } from "../../config/schema.ts";
import { systemClock } from "../../std/clock.ts";
import type { Log } from "../../telemetry/log.ts";
import { openS3Access, type S3Access } from "../../wiring/storage/s3-credentials.ts";
import type { CliContext, ConfigOptions } from "../context.ts";

/** The keys of S3 storage, or `undefined` for local storage. @throws ConfigError if no source has keys */
export async function s3Access(
  storage: StorageConfig,
  options: ConfigOptions,
  context: CliContext,
  log: Log,
): Promise<S3Access | undefined> {
  if (storage.backend === "local") return undefined;
  // A copy from before the SDK's variables are set, so that they do not hide a later change of .env.
  const env = { ...context.env };
  return openS3Access({
    storage,
    awsVariables: () =>
      loadAwsVariables({ env, cwd: context.cwd, configPath: options.config, envFile: options.envFile }),
    env: context.env,
    clock: systemClock,
    log,
  });
}
