import { check } from "k6";
import http, { type RefinedResponse, type RequestBody } from "k6/http";
import { Counter, Rate, Trend } from "k6/metrics";
import { setTimeout } from "k6/timers";

/** The service under load, and the origin that its jobs download from; both on this machine. */
export const SERVICE = loopback("FETCHBOX_URL", "http://127.0.0.1:8080");
export const ORIGIN = loopback("ORIGIN_URL", "http://127.0.0.1:8081");
const TOKEN = __ENV["FETCHBOX_TOKEN"] ?? "";
/** Shortens durations and numbers, for a quick look: `-e SCALE=0.1`. */
const SCALE = Number(__ENV["SCALE"] ?? 1);
/** Distinguishes the keys and tenants of this run from those of others on the same service. */
const RUN = __ENV["RUN"] ?? `${Date.now()}`;

export const accepted = new Counter("jobs_accepted");
export const submitMs = new Trend("submit_ms", true);

/** Thresholds that every scenario has. */
export const THRESHOLDS = {
  checks: ["rate==1"],
  "http_req_failed{expected:yes}": ["rate<0.001"],
  dropped_iterations: ["count==0"],
};

/** Seconds of a scenario for k6, at least two. */
export function seconds(full: number): string {
  return `${Math.max(2, Math.round(full * SCALE))}s`;
}

export function scaled(full: number): number {
  return Math.max(1, Math.round(full * SCALE));
}

export function wait(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

export interface Manifest {
  readonly resources: number;
  /** Path at the origin; each resource has its number behind it. */
  readonly path?: string;
  /** Spreads the resources over that number of addresses of this machine, at most 250: each is a host of its own. */
  readonly hosts?: number;
  /** Number of the first resource; default: 0. */
  readonly from?: number;
}

/** The text of a manifest. */
export function manifestOf({ resources, path = "/1024/0/", hosts = 0, from = 0 }: Manifest): string {
  const port = ORIGIN.slice(ORIGIN.lastIndexOf(":"));
  const origin = (i: number) => (hosts === 0 ? ORIGIN : `http://127.0.1.${1 + (i % hosts)}${port}`);
  const list = Array.from({ length: resources }, (_, at) => from + at).map((i) => ({
    id: `r${i}`,
    url: `${origin(i)}${path}${i}`,
  }));
  return JSON.stringify({ manifest_version: "v1", resources: list });
}

interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: RequestBody;
  /** Answers that are no failure; default: 200 to 399. */
  readonly expect?: readonly number[];
  readonly gzip?: boolean;
  readonly timeout?: string;
}

export type Answer = RefinedResponse<"text">;

/** Sends a request with the token. `name` groups its metrics. */
export function request(method: string, path: string, name: string, options: RequestOptions = {}): Promise<Answer> {
  const { headers = {}, body = null, expect, gzip = false, timeout = "60s" } = options;
  const authorization: Record<string, string> = TOKEN === "" ? {} : { authorization: `Bearer ${TOKEN}` };
  return http.asyncRequest(method, `${SERVICE}${path}`, body, {
    headers: { ...authorization, ...headers },
    tags: { name, expected: "yes" },
    responseType: "text",
    timeout,
    ...(gzip && { compression: "gzip" }),
    ...(expect !== undefined && { responseCallback: http.expectedStatuses(...expect) }),
  });
}

export function read(path: string, name: string): Promise<Answer> {
  return request("GET", path, name);
}

export interface SubmitOptions {
  readonly key?: string;
  readonly gzip?: boolean;
  readonly expect?: readonly number[];
}

/** Submits a manifest. */
export async function submit(manifest: string, options: SubmitOptions = {}): Promise<Answer> {
  const { key, gzip = false, expect = [202] } = options;
  const headers = {
    "content-type": "application/json",
    ...(key !== undefined && { "x-fetchbox-idempotency-key": `${RUN}-${key}` }),
  };
  const answer = await request("POST", "/jobs", "submit", { headers, body: manifest, gzip, expect });
  submitMs.add(answer.timings.duration);
  if (answer.status === 202) accepted.add(1);
  return answer;
}

/** Submissions that took more than `SLOW` times as long as the slowest on an idle service. */
export const slow = new Rate("slow_submit");
export const SLOW = 5;
const IDLE_SUBMITS = 50;

export interface Idle {
  /** The 99th percentile of 50 submissions is their slowest. */
  readonly p99Ms: number;
}

/** Measures submissions one after another, and waits until their jobs have ended. */
export async function idle(manifest: string): Promise<Idle> {
  const times: number[] = [];
  for (let i = 0; i < IDLE_SUBMITS; i++) times.push((await submit(manifest)).timings.duration);
  await drained();
  return { p99Ms: Math.max(...times) };
}

/** The id of the job that an answer accepted. */
export function jobOf(answer: Answer): string {
  return answer.json("job_id") as string;
}

export interface Job {
  readonly status: string;
  readonly resource_total: number;
  readonly resource_completed: number;
  readonly resource_failed: number;
  readonly resource_cancelled: number;
}

/** Resolves to a job once it has ended. */
export async function ended(job: string, everyMs = 200): Promise<Job> {
  for (;;) {
    const snapshot = (await read(`/operators/jobs/${job}`, "job")).json() as unknown as Job;
    if (snapshot.status !== "queued" && snapshot.status !== "in_progress") return snapshot;
    await wait(everyMs);
  }
}

/** Resolves once no task waits or runs. */
export async function drained(everyMs = 500): Promise<void> {
  for (;;) {
    const answer = await read("/operators/queue", "queue");
    const { pending, running, retrying } = answer.json() as unknown as Record<string, number>;
    if (pending === 0 && running === 0 && retrying === 0) return;
    await wait(everyMs);
  }
}

/** Notes that `isTrue` holds. */
export function holds(name: string, isTrue: boolean): void {
  check(isTrue, { [name]: (value) => value });
}

function loopback(variable: string, otherwise: string): string {
  const url = __ENV[variable] ?? otherwise;
  if (!/^http:\/\/(127\.\d+\.\d+\.\d+|localhost|\[::1\])(:\d+)?$/.test(url)) {
    throw new Error(`${variable} is ${url}: the load goes only to addresses of this machine, http://127.0.0.1:PORT`);
  }
  return url;
}
