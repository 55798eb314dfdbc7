import type { FaultyOrigin } from "./faulty-origin.ts";

/** What a resource must become; "either" where it depends on whether a replay came after its origin was mended. */
export type Fate = "stored" | "failed" | "either";

export interface PlannedResource {
  readonly id: string;
  readonly url: string;
  readonly checksum?: string;
  readonly fate: Fate;
  readonly size: number;
  readonly seed: number;
}

export interface Submission {
  readonly number: number;
  readonly key: string | undefined;
  readonly body: string;
  readonly resources: readonly PlannedResource[];
  /** Set once a 202 was out. */
  jobId: string | undefined;
  cancel: "no" | "asked" | "accepted";
}

/** What was sent and what was promised, kept outside of the process that is killed. */
export class Record {
  readonly submissions: Submission[] = [];
  /** Resources whose dead letter was given up, by job and id: answered with 204, and without an answer. */
  readonly givenUp = new Set<string>();
  readonly maybeGivenUp = new Set<string>();
  readonly #origin: FaultyOrigin;
  readonly #random: (below: number) => number;

  constructor(origin: FaultyOrigin, random: (below: number) => number) {
    this.#origin = origin;
    this.#random = random;
  }

  get acknowledged(): Submission[] {
    return this.submissions.filter(({ jobId }) => jobId !== undefined);
  }

  plan(): Submission {
    const number = this.submissions.length;
    const resources = Array.from({ length: 1 + this.#random(10) }, (_, at) => this.#resource(`s${number}/r${at}`));
    const body = JSON.stringify({
      manifest_version: "v1",
      resources: resources.map(({ id, url, checksum }) => ({ id, url, ...(checksum !== undefined && { checksum }) })),
    });
    const key = this.#random(2) === 0 ? `key-${number}` : undefined;
    const submission: Submission = { number, key, body, resources, jobId: undefined, cancel: "no" };
    this.submissions.push(submission);
    return submission;
  }

  #resource(id: string): PlannedResource {
    const dice = this.#random(100);
    const seed = 1 + this.#random(250);
    const small = 1 + this.#random(20_000);
    const make = (kind: string, size: number, fate: Fate): PlannedResource => {
      return { id, url: `${this.#origin.url}/${kind}/${size}/${seed}/${id}`, fate, size, seed };
    };
    if (dice < 55) return make("ok", small, "stored");
    if (dice < 60) return make("ok", 3_000_000 + small, "stored");
    if (dice < 64) return make("chunked", 9_000_000 + small, "stored");
    if (dice < 72) return make("flaky", small, "stored");
    if (dice < 78) return make("reset", 100_000 + small, "stored");
    if (dice < 88) return make("gone", small, "failed");
    if (dice < 94) return { ...make("wrong", small, "failed"), checksum: `md5:${"0".repeat(32)}` };
    return make("late", small, "either");
  }
}
