import { systemClock } from "../../std/clock.ts";
import { createLog } from "../../telemetry/log.ts";
import type { Findings } from "../../verify/findings.ts";
import { VERSION } from "../../version.ts";
import { repairAll, verifyAll } from "../../wiring/verify-installation.ts";
import type { CliContext, ConfigOptions } from "../context.ts";
import { EXIT, type ExitCode } from "../exit-code.ts";
import { jsonLine, printableLines } from "../terminal/terminal-text.ts";
import { bytesText, counted } from "../terminal/units.ts";
import { configOf } from "./config-command.ts";
import { s3Access } from "./s3-access.ts";

export interface VerifyOptions extends ConfigOptions {
  readonly deep?: boolean;
  readonly repair?: boolean;
  readonly json?: boolean;
}

/** Compares the stores with one another and with the storage, and prints the inconsistencies. */
export async function verify(options: VerifyOptions, context: CliContext): Promise<ExitCode> {
  const config = configOf(options, context);
  const deep = options.deep === true;
  const log = createLog({ ...config.log, level: "fatal", destination: { write: context.err, isTerminal: false } });
  const credentials = await s3Access(config.storage, options, context, log);
  const { signal } = new AbortController();
  const run = { config, deep, version: VERSION, clock: systemClock, credentials, environment: context.env, signal };
  let found = await verifyAll(run);
  let repairs: readonly string[] = [];
  if (options.repair === true && (found.findings.inconsistencyCount > 0 || found.findings.unfinished.length > 0)) {
    repairs = await repairAll(run);
    found = await verifyAll(run);
    const { losses, notes } = found.findings;
    if (losses.size > 0) {
      notes.push(`rows are lost (${[...losses].join(", ")}): the repair left the stores unchanged; restore a backup`);
    }
  }
  const { findings } = found;
  context.out(options.json === true ? jsonReport(findings, repairs) : textReport(findings, repairs, deep));
  return findings.inconsistencyCount === 0 ? EXIT.done : EXIT.failed;
}

function textReport(findings: Findings, repairs: readonly string[], deep: boolean): string {
  const { counts, inconsistencies, inconsistencyCount, unfinished, notes } = findings;
  const lines = [
    ...repairs.map((what) => `repaired: ${what}`),
    ...inconsistencies.map(({ rule, message }) => `inconsistency: ${rule}: ${message}`),
  ];
  if (inconsistencyCount > inconsistencies.length)
    lines.push(`inconsistency: and ${inconsistencyCount - inconsistencies.length} more`);
  lines.push(...unfinished.map((what) => `unfinished: ${what}; left for the next start`));
  lines.push(...notes.map((what) => `note: ${what}`));
  const read = deep ? `, ${bytesText(counts.bytesRead)} read` : "";
  lines.push(
    `${counted(counts.jobs, "job")}, ${counted(counts.tasks, "task")}, ${counted(counts.deadLetters, "dead letter")}, ` +
      `${counted(counts.objects, "object")}${read}: ` +
      (inconsistencyCount === 0
        ? "no inconsistencies"
        : `${inconsistencyCount} ${inconsistencyCount === 1 ? "inconsistency" : "inconsistencies"}`),
  );
  return printableLines(`${lines.join("\n")}\n`);
}

function jsonReport(
  { counts, inconsistencies, inconsistencyCount, unfinished, notes }: Findings,
  repairs: readonly string[],
): string {
  const { jobs, tasks, deadLetters, objects, bytesRead } = counts;
  const report = {
    jobs,
    tasks,
    dead_letters: deadLetters,
    objects,
    bytes_read: bytesRead,
    breach_count: inconsistencyCount,
    breaches: inconsistencies,
    unfinished,
    notes,
    repaired: repairs,
  };
  return jsonLine(report);
}
