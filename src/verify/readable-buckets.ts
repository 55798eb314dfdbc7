import { Failure } from "../jobs/failure.ts";
import type { Findings } from "./findings.ts";

/** The buckets to check. One that cannot be read is a breach, told once, and the others are checked all the same. */
export class ReadableBuckets {
  readonly #names: readonly string[];
  readonly #findings: Pick<Findings, "breach">;
  readonly #unreadable = new Set<string>();

  constructor(names: Iterable<string>, findings: Pick<Findings, "breach">) {
    this.#names = [...new Set(names)];
    this.#findings = findings;
  }

  async each(work: (bucket: string) => Promise<void>): Promise<void> {
    for (const bucket of this.#names) await this.in(bucket, () => work(bucket));
  }

  /** Does something in one bucket, unless that could not be read before. */
  async in(bucket: string, work: () => Promise<void>): Promise<void> {
    if (this.#unreadable.has(bucket)) return;
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.#unreadable.add(bucket);
      this.#findings.breach("the storage can be read", `bucket ${bucket}: ${error.message} (${error.code})`);
    }
  }
}
