import type { DeadLetter } from "../../test/support/answers.ts";
import type { Service } from "../../test/support/service.ts";
import type { Record, Submission } from "./record.ts";

/** Of so many jobs some are at work. */
const LATEST = 20;

export type Doing = "submitting" | "replaying" | "giving up" | "cancelling";

/** Clients that submit, replay, give up and cancel, and write down what they were promised. */
export class Load {
  /** Requests under way. */
  readonly doing = new Map<Doing, number>();
  readonly breaches: string[] = [];
  readonly #service: Service;
  readonly #record: Record;
  readonly #random: (below: number) => number;
  #isOn = false;
  #clients: Promise<void>[] = [];

  constructor(service: Service, record: Record, random: (below: number) => number) {
    this.#service = service;
    this.#record = record;
    this.#random = random;
  }

  start(clients: number): void {
    this.#isOn = true;
    this.#clients = Array.from({ length: clients }, () => this.#client());
  }

  async stop(): Promise<void> {
    this.#isOn = false;
    await Promise.all(this.#clients);
  }

  async cancelLatest(): Promise<void> {
    for (const submission of this.#record.acknowledged.slice(-LATEST)) await this.#cancel(submission);
  }

  async #client(): Promise<void> {
    while (this.#isOn) {
      try {
        await this.#act();
      } catch {
        // The service is down; the next round starts it again.
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
    }
  }

  #act(): Promise<void> {
    const dice = this.#random(100);
    if (dice < 60) return this.#submit(this.#record.plan());
    if (dice < 75) return this.#again();
    if (dice < 80) return this.#cancelSome();
    if (dice < 95) return this.#replay();
    return this.#giveUp();
  }

  /** The same submission under its key once more: it must be the same job, whether or not the first answer came. */
  async #again(): Promise<void> {
    const keyed = this.#record.submissions.filter(({ key }) => key !== undefined);
    const submission = keyed[this.#random(Math.max(1, keyed.length))];
    if (submission !== undefined) await this.#submit(submission);
  }

  async #submit(submission: Submission): Promise<void> {
    const headers: { [name: string]: string } =
      submission.key === undefined ? {} : { "idempotency-key": submission.key };
    const response = await this.#ask("submitting", () => this.#service.post(submission.body, headers));
    if (response.status !== 202) return this.#expectRefusal(response, [409, 500, 503, 507]);
    const { job_id: jobId } = (await response.json()) as { job_id: string };
    if (submission.jobId !== undefined && submission.jobId !== jobId) {
      this.breaches.push(`submission ${submission.number} is job ${submission.jobId} and job ${jobId}`);
    }
    submission.jobId = jobId;
    // At once: it has hardly begun.
    if (this.#random(3) === 0) await this.#cancel(submission);
  }

  async #cancelSome(): Promise<void> {
    const known = this.#record.acknowledged;
    // One of the latest: the others have ended.
    const submission = known[known.length - 1 - this.#random(Math.min(8, Math.max(1, known.length)))];
    if (submission !== undefined) await this.#cancel(submission);
  }

  async #cancel(submission: Submission): Promise<void> {
    if (submission.cancel === "no") submission.cancel = "asked";
    const path = `/operators/jobs/${submission.jobId}/cancel`;
    const response = await this.#ask("cancelling", () => this.#service.fetch(path, { method: "POST" }));
    if (response.status === 202) submission.cancel = "accepted";
    else await this.#expectRefusal(response, [409, 500, 503]);
  }

  async #replay(): Promise<void> {
    const filters = [{}, { code: "DOWNLOAD_HTTP_404" }, { code: "DOWNLOAD_CHECKSUM_MISMATCH" }];
    const body = JSON.stringify({ filter: filters[this.#random(filters.length)] });
    const headers = { "content-type": "application/json" };
    const response = await this.#ask("replaying", () =>
      this.#service.fetch("/operators/dlq/replay", { method: "POST", headers, body }),
    );
    if (response.status !== 200) await this.#expectRefusal(response, [500, 503]);
    else await response.body?.cancel();
  }

  async #giveUp(): Promise<void> {
    const { entries } = await this.#service.get<{ entries: DeadLetter[] }>("/operators/dlq?limit=20");
    const letter = entries[this.#random(Math.max(1, entries.length))];
    if (letter === undefined) return;
    const task = letter.task_id;
    const resource = `${letter.job_id} ${letter.resource_id}`;
    this.#record.maybeGivenUp.add(resource);
    const response = await this.#ask("giving up", () =>
      this.#service.fetch(`/operators/dlq/${task}`, { method: "DELETE" }),
    );
    if (response.status === 204) this.#record.givenUp.add(resource);
    else await this.#expectRefusal(response, [404, 500, 503]);
  }

  async #expectRefusal(response: Response, statuses: readonly number[]): Promise<void> {
    const text = await response.text();
    if (!statuses.includes(response.status)) this.breaches.push(`an answer ${response.status}: ${text.slice(0, 300)}`);
  }

  async #ask(doing: Doing, request: () => Promise<Response>): Promise<Response> {
    this.doing.set(doing, (this.doing.get(doing) ?? 0) + 1);
    try {
      return await request();
    } finally {
      this.doing.set(doing, (this.doing.get(doing) ?? 1) - 1);
    }
  }
}
