import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { JobSnapshot, LogRow, ResourceRow } from "./answers.ts";
import { ensureBinary, spawnBinary } from "./binary.ts";
import { eventually } from "./eventually.ts";

export interface ServiceOptions {
  /** `{ "queue.workers": 4 }` becomes FETCHBOX__QUEUE__WORKERS. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
  /** What settings cannot say: handlers, proxies. */
  readonly toml?: string;
  /** Files beside the configuration, by their path from the working directory. */
  readonly files?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  /** A command that the binary is run by. */
  readonly through?: readonly string[];
  /** The command line of the service; `serve` by default. */
  readonly args?: readonly string[];
  /** A bearer token that `get` and `post` send. */
  readonly token?: string;
}

const SETTINGS = {
  "server.bind_addr": "127.0.0.1:0",
  "server.shutdown_grace_ms": 5000,
  "queue.rate_limit_per_worker": 0,
  "queue.retry_backoff_ms": 10,
  "queue.retry_backoff_max_ms": 50,
  "download.host.max_concurrency": 64,
  "egress.allow_private": "127.0.0.0/8",
  "log.format": "json",
};
const START_MS = 20_000;

export function settingsEnv(settings: Readonly<Record<string, string | number | boolean>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(settings).map(([key, value]) => [
      `FETCHBOX__${key.toUpperCase().replaceAll(".", "__")}`,
      String(value),
    ]),
  );
}

/** The compiled service in a folder of its own, driven from outside. Its disposal fails where something is wrong. */
export class Service implements AsyncDisposable {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  readonly #token: string | undefined;
  readonly #through: readonly string[];
  readonly #args: readonly string[];
  #process: ReturnType<typeof spawnBinary> | undefined;
  #url = "";
  #output: { stdout: string; stderr: string; ended: Promise<unknown> }[] = [];

  constructor(folder: string, env: Readonly<Record<string, string>>, { token, through, args }: ServiceOptions) {
    this.folder = folder;
    this.env = env;
    this.#token = token;
    this.#through = through ?? [];
    this.#args = args ?? ["serve"];
  }

  get url(): string {
    return this.#url;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** All lines of the log so far, of every process that this was. */
  get log(): string {
    return this.#output.map(({ stdout }) => stdout).join("");
  }

  get stderr(): string {
    return this.#output.map(({ stderr }) => stderr).join("");
  }

  /** What was written to standard error so far, which is as it should be. */
  takeStderr(): string {
    const text = this.stderr;
    for (const output of this.#output) output.stderr = "";
    return text;
  }

  /** Starts a process on the folder, and waits until it answers. */
  async start(): Promise<void> {
    const child = spawnBinary(this.#args, { cwd: this.folder, env: this.env, through: this.#through });
    const output = { stdout: "", stderr: "", ended: Promise.resolve() as Promise<unknown> };
    output.ended = Promise.all([
      collect(child.stdout, (text) => (output.stdout += text)),
      collect(child.stderr, (text) => (output.stderr += text)),
    ]);
    this.#process = child;
    this.#output.push(output);
    this.#url = await eventually(
      "the service answers",
      () => {
        if (child.exitCode !== null || child.signalCode !== null) {
          throw new Error(`the service ended: ${output.stderr}\n${output.stdout}`);
        }
        return /"url":"(http:[^"]+)","version"/.exec(output.stdout)?.[1];
      },
      START_MS,
    );
  }

  signal(name: "SIGTERM" | "SIGINT" | "SIGKILL" | "SIGHUP" | "SIGUSR1" | "SIGUSR2" | "SIGSTOP" | "SIGCONT"): void {
    this.#process?.kill(name);
  }

  /** Waits for the process to end: its exit code, or the signal that ended it. */
  async ended(): Promise<number | string> {
    const child = this.#process;
    if (child === undefined) throw new Error("the service does not run");
    await child.exited;
    await this.#output.at(-1)?.ended;
    this.#process = undefined;
    return child.signalCode ?? child.exitCode ?? "unknown";
  }

  /** As a crash would end it. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.ended();
  }

  /** As an operator would end it. */
  stop(): Promise<number | string> {
    this.signal("SIGTERM");
    return this.ended();
  }

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.#token !== undefined && !headers.has("authorization"))
      headers.set("authorization", `Bearer ${this.#token}`);
    return fetch(this.#url + path, { ...init, headers, proxy: false } as RequestInit);
  }

  post(manifest: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    const body = typeof manifest === "string" || manifest instanceof Uint8Array ? manifest : JSON.stringify(manifest);
    return this.fetch("/jobs", { method: "POST", headers: { "content-type": "application/json", ...headers }, body });
  }

  /** Submits what must be accepted: the job's id. */
  async submit(manifest: unknown, headers: Readonly<Record<string, string>> = {}): Promise<string> {
    const response = await this.post(manifest, headers);
    if (response.status !== 202) throw new Error(`not accepted: ${response.status} ${await response.text()}`);
    return ((await response.json()) as { job_id: string }).job_id;
  }

  /** The JSON of an answer that must be 200. */
  async get<T>(path: string): Promise<T> {
    const response = await this.fetch(path);
    if (response.status !== 200) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  job(jobId: string): Promise<JobSnapshot> {
    return this.get(`/operators/jobs/${jobId}`);
  }

  /** The job once it is terminal. */
  finished(jobId: string, deadlineMs?: number): Promise<JobSnapshot> {
    return eventually(
      `job ${jobId} is terminal`,
      async () => {
        const job = await this.job(jobId);
        return job.status === "queued" || job.status === "in_progress" ? undefined : job;
      },
      deadlineMs,
    );
  }

  async resources(jobId: string, limit = 1000): Promise<ResourceRow[]> {
    return this.pages<ResourceRow>(`/operators/jobs/${jobId}/resources?limit=${limit}`, "resources");
  }

  async logs(jobId: string, limit = 1000): Promise<LogRow[]> {
    const rows: LogRow[] = [];
    for (let offset = 0; ; ) {
      const page = await this.get<{ logs: LogRow[]; next_offset: number }>(
        `/operators/jobs/${jobId}/logs?offset=${offset}&limit=${limit}`,
      );
      rows.push(...page.logs);
      if (page.logs.length < limit) return rows;
      offset = page.next_offset;
    }
  }

  /** All rows of a list, page by page. `path` has a query already. */
  async pages<T>(path: string, member: string): Promise<T[]> {
    const rows: T[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const page: Record<string, unknown> = await this.get(
        `${path}${cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`}`,
      );
      rows.push(...(page[member] as T[]));
      cursor = page["next_cursor"] as string | null;
    }
    return rows;
  }

  /** Ends the process if it still runs, which must go well and without a word on standard error. */
  async [Symbol.asyncDispose](): Promise<void> {
    const code = this.#process === undefined ? 0 : await this.stop();
    await rm(this.folder, { recursive: true, force: true });
    if (code !== 0) throw new Error(`the service ended with ${code}:\n${this.log.slice(-2000)}\n${this.stderr}`);
    if (this.stderr !== "") throw new Error(`the service wrote to standard error:\n${this.stderr}`);
  }
}

async function collect(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  for await (const chunk of stream) take(decoder.decode(chunk, { stream: true }));
}

/** Makes the folder of a service, without starting it. */
export async function prepareService(options: ServiceOptions = {}): Promise<Service> {
  await ensureBinary();
  const folder = await mkdtemp(join(tmpdir(), "fetchbox-flow-"));
  const files = { ...options.files, ...(options.toml !== undefined && { "config/fetchbox.toml": options.toml }) };
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
  await chmod(folder, 0o755);
  const env = { ...settingsEnv({ ...SETTINGS, ...options.settings }), ...options.env };
  return new Service(folder, env, options);
}

/** Starts a service of its own: `await using service = await startService()`. */
export async function startService(options: ServiceOptions = {}): Promise<Service> {
  const service = await prepareService(options);
  try {
    await service.start();
    return service;
  } catch (error) {
    service.signal("SIGKILL");
    await rm(service.folder, { recursive: true, force: true });
    throw error;
  }
}
