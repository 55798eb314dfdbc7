import { Failure } from "../jobs/failure.ts";
import type { Findings } from "./findings.ts";

/** The buckets to check. One that cannot be read is an inconsistency, reported once; the others are still checked. */
export class ReadableBuckets {
  readonly #names: readonly string[];
  readonly #findings: Pick<Findings, "report">;
  readonly #unreadable = new Set<string>();
  readonly #reported = new Set<string>();

  constructor(names: Iterable<string>, findings: Pick<Findings, "report">) {
    this.#names = [...new Set(names)];
    this.#findings = findings;
  }

  async each(work: (bucket: string) => Promise<void>): Promise<void> {
    for (const bucket of this.#names) await this.in(bucket, () => work(bucket));
  }

  /** Runs `work` for one bucket, unless an earlier read of it failed. */
  async in(bucket: string, work: () => Promise<void>): Promise<void> {
    if (this.#unreadable.has(bucket)) return;
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.#unreadable.add(bucket);
      this.report(bucket, error);
    }
  }

  /** Reports that something of a bucket cannot be read, once for each bucket. Later reads of it are still tried. */
  report(bucket: string, { message, code }: Failure): void {
    if (this.#reported.has(bucket)) return;
    this.#reported.add(bucket);
    this.#findings.report("the storage can be read", `bucket ${bucket}: ${message} (${code})`);
  }
}
