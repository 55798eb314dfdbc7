import type { ErrorBody } from "./answers.ts";
import { eventually } from "./eventually.ts";

/** One submission of the load, with a manifest that no other one has. */
export interface Submission {
  readonly name: string;
  readonly manifest: string;
  /** `undefined`: without an idempotency key. */
  readonly key: string | undefined;
}

/** The submissions of several clients, and their outcomes. */
export class RoutedClients {
  readonly #url: string;
  /** Job ids by the name of their submission. */
  readonly accepted = new Map<string, string>();
  /** Submissions without a key whose outcome their client does not know; it does not repeat them. */
  readonly unknown = new Set<string>();
  /** Number of answers 503. */
  refused = 0;
  /** All submissions that have an outcome. */
  readonly ended: Submission[] = [];

  constructor(url: string) {
    this.#url = url;
  }

  /** One client: it submits one after the other until `signal` is aborted, and repeats while that makes no second job. */
  async run(next: () => Submission, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const submission = next();
      await eventually(`an outcome of ${submission.name}`, () => this.#submit(submission));
      this.ended.push(submission);
    }
  }

  async #submit(submission: Submission): Promise<true | undefined> {
    const { name, key } = submission;
    let response: Response;
    try {
      response = await this.post(submission);
    } catch {
      // The router closed the connection without an answer.
      return key === undefined ? this.#lose(name) : undefined;
    }
    if (response.status === 202) {
      this.accepted.set(name, ((await response.json()) as { job_id: string }).job_id);
      return true;
    }
    const { code, message } = (await response.json()) as ErrorBody;
    if (code === "INSTANCE_FAILED") return key === undefined ? this.#lose(name) : undefined;
    const mayRepeat = response.status === 503 || code === "IDEMPOTENCY_IN_PROGRESS";
    if (!mayRepeat) throw new Error(`${name}: ${response.status} ${code} ${message}`);
    this.refused++;
    return undefined;
  }

  #lose(name: string): true {
    this.unknown.add(name);
    return true;
  }

  post({ manifest, key }: Submission, header = "x-fetchbox-idempotency-key"): Promise<Response> {
    const headers = { "content-type": "application/json", ...(key !== undefined && { [header]: key }) };
    const init = { method: "POST", headers, body: manifest, proxy: false };
    return fetch(`${this.#url}/jobs`, init as RequestInit);
  }

  /** The JSON of an answer that must be 200. */
  async get<T>(path: string): Promise<T> {
    const response = await fetch(this.#url + path, { proxy: false } as RequestInit);
    if (response.status !== 200) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }
}
