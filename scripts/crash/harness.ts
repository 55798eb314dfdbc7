import { runBinary } from "../../test/support/binary.ts";
import { eventually } from "../../test/support/eventually.ts";
import type { Service } from "../../test/support/service.ts";
import type { TestStorage } from "../../test/support/storage.ts";
import { type Checked, check } from "./check.ts";
import { FaultyOrigin } from "./faulty-origin.ts";
import { Load } from "./load.ts";
import { randomFrom } from "./random.ts";
import { Record } from "./record.ts";

export interface HarnessOptions {
  readonly service: Service;
  readonly storage: TestStorage;
  readonly seed: number;
}

/** What of the service was under way at the kills. */
export type Kills = { [state: string]: number };

const CLIENTS = 4;
const SETTLE_MS = 120_000;
/** Settings under which a lot happens in little time. */
export const HARNESS_SETTINGS = {
  "queue.workers": 8,
  "queue.max_retries": 6,
  "queue.retry_backoff_ms": 5,
  "download.host.breaker_failures": 0,
};

/** A service under load that is killed again and again. */
export class Harness implements AsyncDisposable {
  readonly service: Service;
  readonly record: Record;
  readonly kills: Kills = {};
  readonly random: (below: number) => number;
  readonly #storage: TestStorage;
  readonly #origin: FaultyOrigin;
  readonly #load: Load;
  readonly #verifyBreaches: string[] = [];

  private constructor(options: HarnessOptions, origin: FaultyOrigin) {
    this.service = options.service;
    this.#storage = options.storage;
    this.#origin = origin;
    this.random = randomFrom(options.seed);
    this.record = new Record(origin, this.random);
    this.#load = new Load(this.service, this.record, this.random);
  }

  static async start(options: HarnessOptions): Promise<Harness> {
    return new Harness(options, await FaultyOrigin.start());
  }

  get hits(): number {
    return this.#origin.hits;
  }

  startLoad(): void {
    this.#load.start(CLIENTS);
  }

  stopLoad(): Promise<void> {
    return this.#load.stop();
  }

  /** Cancels jobs that have hardly begun, as far as the service lives. */
  cancelLatest(): Promise<void> {
    return this.#load.cancelLatest().catch(() => {});
  }

  /** Waits until some more requests have come to the origin, and for a moment that chance chooses. */
  async moment(): Promise<void> {
    const enough = this.#origin.hits + 5 + this.random(60);
    const giveUpAt = performance.now() + 300;
    while (this.#origin.hits < enough && performance.now() < giveUpAt) await pause(1);
    await pause(this.random(20));
  }

  /** SIGKILL, with a note of what was going on. */
  async kill(): Promise<void> {
    const doing = [...this.#load.doing].filter(([, count]) => count > 0).map(([name]) => name as string);
    for (const [kind, name] of [
      ["chunked", "uploading in parts"],
      ["ok", "downloading"],
    ] as const) {
      if ((this.#origin.active.get(kind) ?? 0) > 0) doing.push(name);
    }
    for (const state of doing.length === 0 ? ["between tasks"] : doing) {
      this.kills[state] = (this.kills[state] ?? 0) + 1;
    }
    await this.service.kill();
  }

  /** Lets everything come to its end, compares it with the record, and lets the service's own checker look. */
  async settleAndCheck(): Promise<Checked> {
    await this.stopLoad();
    this.#origin.isHealed = true;
    try {
      await eventually("everything has come to its end", () => this.#isSettled(), SETTLE_MS);
    } catch (error) {
      throw new Error(`${String(error)}\n${await this.#unsettled()}`);
    }
    const checked = await check(this.service, this.#storage, this.record);
    checked.breaches.push(...this.#load.breaches);
    const code = await this.service.stop();
    if (code !== 0) checked.breaches.push(`the service ended with ${code}`);
    await this.verify("--deep");
    checked.breaches.push(...this.#verifyBreaches);
    return checked;
  }

  /** Lets the service's own checker look, as the files are. */
  async verify(...args: string[]): Promise<void> {
    const verified = await runBinary(["verify", ...args], { cwd: this.service.folder, env: this.service.env });
    if (verified.code !== 0) this.#verifyBreaches.push(`verify: ${verified.stdout}${verified.stderr}`);
  }

  async #isSettled(): Promise<true | undefined> {
    for (const status of ["queued", "in_progress"]) {
      const { jobs } = await this.service.get<{ jobs: unknown[] }>(`/operators/jobs?limit=1&status=${status}`);
      if (jobs.length > 0) return undefined;
    }
    return true;
  }

  /** What hangs, for whoever has to find out why. */
  async #unsettled(): Promise<string> {
    const { jobs } = await this.service.get<{ jobs: { job_id: string }[] }>(
      "/operators/jobs?limit=3&status=in_progress",
    );
    const rows = await Promise.all(jobs.map(({ job_id }) => this.service.resources(job_id)));
    const open = rows.flat().filter(({ state }) => ["pending", "running", "retrying"].includes(state));
    const health = await (await this.service.fetch("/operators/health")).text();
    return [...open.slice(0, 5).map((row) => JSON.stringify(row)), health, this.service.log.slice(-1500)].join("\n");
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#origin.stop();
    return Promise.resolve();
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
