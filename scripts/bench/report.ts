import type { Work } from "./load.ts";
import type { Probe } from "./probes.ts";

export interface Measured {
  readonly program: string;
  readonly work: string;
  readonly round: number;
  /** Items per second. */
  readonly rate: number;
  readonly cpuSecondsPer1000: number;
  /** CPU of the main thread for an item, in microseconds. */
  readonly mainThreadMicros: number | undefined;
  readonly peakMiB: number;
}

/** Medians of the rounds, and ratios to each ceiling as the median of those within one round. */
export function reportOf(measured: readonly Measured[], works: readonly Work[]): string {
  const lines = works.flatMap(({ name }) => [
    `### ${name}\n`,
    "| program | items/s | of bare durable | of bare S3Client | fetchbox by it | CPU s per 1000 | main thread, µs an item | peak RSS MiB |",
    "|---|--:|--:|--:|--:|--:|--:|--:|",
    ...rows(measured.filter(({ work }) => work === name)),
    "",
  ]);
  return `${lines.join("\n")}\n`;
}

export function probesReport(probes: readonly Probe[]): string {
  const rows = probes.map(
    ({ what, ours, against, ratio, wanted }) => `| ${[what, ours, against, ratio, wanted].join(" | ")} |`,
  );
  return [
    "### Beside transfers\n",
    "| probe | fetchbox | beside | ratio | wanted |",
    "|---|--:|---|--:|---|",
    ...rows,
    "",
  ].join("\n");
}

function rows(rounds: readonly Measured[]): string[] {
  return [...new Set(rounds.map(({ program }) => program))].map((program) => row(rounds, program));
}

function row(rounds: readonly Measured[], program: string): string {
  const own = rounds.filter((each) => each.program === program);
  const ratioTo = (other: string) =>
    median(
      own.map(({ round, rate }) => rate / (rounds.find((e) => e.program === other && e.round === round)?.rate ?? rate)),
    );
  const cells = [
    program,
    rateText(median(own.map(({ rate }) => rate))),
    ratioTo("bare durable").toFixed(2),
    ratioTo("bare S3Client").toFixed(2),
    (1 / ratioTo("fetchbox")).toFixed(2),
    median(own.map(({ cpuSecondsPer1000 }) => cpuSecondsPer1000)).toFixed(3),
    microsText(own),
    median(own.map(({ peakMiB }) => peakMiB)).toFixed(0),
  ];
  return `| ${cells.join(" | ")} |`;
}

function microsText(own: readonly Measured[]): string {
  const known = own.flatMap(({ mainThreadMicros }) => (mainThreadMicros === undefined ? [] : [mainThreadMicros]));
  return known.length === 0 ? "" : median(known).toFixed(0);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Four digits, and no powers of ten. */
function rateText(rate: number): string {
  return String(Number(rate.toPrecision(4)));
}
