import { loadAwsVariables } from "../../config/load-config.ts";
import type { StorageConfig } from "../../config/schema.ts";
import { systemClock } from "../../std/clock.ts";
import type { Log } from "../../telemetry/log.ts";
import { openS3Access, type S3Access } from "../../wiring/storage/s3-credentials.ts";
import type { CliContext, ConfigOptions } from "../context.ts";

/** The keys of S3 storage; none where storage is local. @throws ConfigError where no source has any */
export async function s3Access(
  storage: StorageConfig,
  options: ConfigOptions,
  context: CliContext,
  log: Log,
): Promise<S3Access | undefined> {
  if (storage.backend === "local") return undefined;
  // As the process found it: what is set for the SDK must not hide what .env says next.
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
