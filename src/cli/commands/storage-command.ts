import { bucketProblem } from "../../config/cross-checks.ts";
import type { Config } from "../../config/schema.ts";
import { widerBucketNameProblem } from "../../config/values/name-rules.ts";
import { systemClock } from "../../std/clock.ts";
import type { CheckStep } from "../../storage/check-step.ts";
import { createLog } from "../../telemetry/log.ts";
import { allowedBuckets } from "../../wiring/load-handlers.ts";
import { checkConfiguredStorage, storagePlace } from "../../wiring/storage/check-configured-storage.ts";
import type { CliContext, ConfigOptions } from "../context.ts";
import { EXIT, type ExitCode, UsageError } from "../exit-code.ts";
import { stopSignal } from "../stop-signal.ts";
import { jsonLine, printable } from "../terminal/terminal-text.ts";
import { counted } from "../terminal/units.ts";
import { configOf } from "./config-command.ts";
import { s3Access } from "./s3-access.ts";

export interface StorageCheckOptions extends ConfigOptions {
  readonly bucket?: readonly string[];
  readonly allBuckets?: true;
  readonly json?: true;
}

const RESULTS: Readonly<Record<CheckStep["result"], string>> = {
  ok: "ok",
  failed: "FAILED",
  note: "note",
  skipped: "skipped",
};

/** Tries every operation that FetchBox needs of the configured storage, and prints each step. */
export async function storageCheck(options: StorageCheckOptions, context: CliContext): Promise<ExitCode> {
  const config = configOf(options, context);
  const log = createLog({ ...config.log, level: "fatal", destination: { write: context.err, isTerminal: false } });
  const credentials = await s3Access(config.storage, options, context, log);
  const isJson = options.json === true;
  const stopping = new AbortController();
  void stopSignal(() => {}).then((signal) => stopping.abort(new Error(`stopped by ${signal}`)));
  const reports: { bucket: string; ok: boolean; steps: CheckStep[] }[] = [];
  for (const bucket of bucketsOf(options, config)) {
    if (!isJson) context.out(`${reports.length === 0 ? "" : "\n"}bucket ${bucket} at ${storagePlace(config)}\n`);
    const steps: CheckStep[] = [];
    const run = { config, bucket, clock: systemClock, credentials, signal: stopping.signal };
    for await (const step of checkConfiguredStorage(run)) {
      steps.push(step);
      if (!isJson) context.out(`${step.name}  ${RESULTS[step.result]}  ${printable(step.detail)}\n`);
    }
    const ok = isGood(steps);
    reports.push({ bucket, ok, steps });
    if (!isJson) context.out(summary(steps));
  }
  const ok = reports.every((report) => report.ok);
  if (isJson) context.out(jsonLine({ backend: config.storage.backend, ok, buckets: reports }));
  return ok ? EXIT.done : EXIT.failed;
}

function bucketsOf({ bucket: named = [], allBuckets }: StorageCheckOptions, config: Config): readonly string[] {
  for (const name of named) {
    const problem = widerBucketNameProblem(name) ?? bucketProblem(name, config.storage);
    if (problem !== undefined) throw new UsageError(`--bucket ${name.slice(0, 70)} ${problem}`);
  }
  if (allBuckets === true) return [...new Set([...allowedBuckets(config), ...named])];
  return named.length === 0 ? [config.storage.bucket] : [...new Set(named)];
}

/** A step is skipped only after a failure or an interruption, so a skipped step is no success. */
function isGood(steps: readonly CheckStep[]): boolean {
  return steps.every(({ result }) => result === "ok" || result === "note");
}

function summary(steps: readonly CheckStep[]): string {
  const count = (result: CheckStep["result"]) => steps.filter((step) => step.result === result).length;
  if (isGood(steps))
    return count("note") === 0 ? "every step succeeded\n" : `every step succeeded, ${counted(count("note"), "note")}\n`;
  return `${counted(steps.length, "step")}: ${count("failed")} failed, ${count("skipped")} skipped\n`;
}
