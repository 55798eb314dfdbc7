/** Our compiled binary as it is shipped: synchronous=FULL, SHA-256, JSON log; in a folder of its own. */
import { mkdirSync, openSync } from "node:fs";
import { join } from "node:path";

const POLL_MS = 2;

export interface ServiceOptions {
  readonly binary: string;
  readonly s3: string;
  /** Its stores and its log; started there again, it goes on. */
  readonly folder: string;
  readonly lanes: number;
  /** PEM file of an authority to trust. */
  readonly certificate?: string | undefined;
  /** Further variables, without their prefix: QUEUE__WORKERS. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

export interface Service extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  /** From its start until it was ready, in milliseconds. */
  readonly startMs: number;
  /** Ends it, and says what it used. */
  stop(signal?: "SIGTERM" | "SIGKILL"): Promise<Bun.ResourceUsage | undefined>;
}

/** Resolves once the service is ready. */
export async function startService(options: ServiceOptions): Promise<Service> {
  const { binary, s3, folder, lanes, certificate = "" } = options;
  mkdirSync(folder, { recursive: true });
  const settings = {
    SERVER__BIND_ADDR: `127.0.0.1:${await freePort()}`,
    QUEUE__PATH: join(folder, "queue"),
    QUEUE__MAX_PENDING_TASKS: 10_000_000,
    QUEUE__WORKERS: lanes,
    QUEUE__RATE_LIMIT_PER_WORKER: 0,
    LEDGER__PATH: join(folder, "ledger"),
    DLQ__PATH: join(folder, "dlq"),
    DOWNLOAD__HOST__MAX_CONCURRENCY: lanes,
    EGRESS__ALLOW_PRIVATE: "127.0.0.0/8",
    STORAGE__BACKEND: "s3",
    STORAGE__ENDPOINT: s3,
    STORAGE__BUCKET: "bench",
    LOG__FORMAT: "json",
    ...options.settings,
  };
  const own = Object.entries(settings).map(([name, value]) => [`FETCHBOX__${name}`, String(value)]);
  const begun = performance.now();
  const child = Bun.spawn([binary, "serve"], {
    cwd: folder,
    env: {
      ...process.env,
      ...Object.fromEntries(own),
      S3_ACCESS_KEY_ID: "a",
      S3_SECRET_ACCESS_KEY: "b",
      NODE_EXTRA_CA_CERTS: certificate,
    },
    stdout: openSync(join(folder, "service.log"), "a"),
    stderr: "inherit",
  });
  const url = `http://${settings.SERVER__BIND_ADDR}`;
  await ready(`${url}/health/ready`, child);
  const startMs = performance.now() - begun;
  const stop = async (signal: "SIGTERM" | "SIGKILL" = "SIGTERM") => {
    child.kill(signal);
    await child.exited;
    return child.resourceUsage();
  };
  return { url, pid: child.pid, startMs, stop, [Symbol.asyncDispose]: async () => void (await stop("SIGKILL")) };
}

/** The other programs of a benchmark: origins and sinks. */
export class BenchServers {
  readonly #children: Bun.Subprocess[] = [];

  /** Starts a program of this folder that prints its port. Returns its URL. */
  readonly serve = async (file: string, ...args: readonly string[]): Promise<string> => {
    const child = Bun.spawn([process.execPath, join(import.meta.dir, file), ...args], {
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#children.push(child);
    for await (const chunk of child.stdout) return `http://127.0.0.1:${new TextDecoder().decode(chunk).trim()}`;
    throw new Error(`${file} did not start`);
  };

  stop(): void {
    for (const child of this.#children) child.kill("SIGKILL");
  }
}

/** Waits until something answers with 200; asked anew every few milliseconds. */
export async function ready(url: string, child: Bun.Subprocess, method = "GET"): Promise<void> {
  while (child.exitCode === null) {
    const response = await fetch(url, { method }).catch(() => undefined);
    await response?.arrayBuffer();
    if (response?.status === 200) return;
    await Bun.sleep(POLL_MS);
  }
  throw new Error(`a program ended with ${child.exitCode} before it answered`);
}

export async function freePort(): Promise<number> {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  const port = server.port ?? 0;
  await server.stop(true);
  return port;
}

/** A manifest of `count` resources, as text. Ids that begin with `refused-` make objects that the sink refuses. */
export function manifestOf(prefix: string, from: number, count: number, id = "i"): string {
  const resources = Array.from({ length: count }, (_, at) => ({ id: id + (from + at), url: `${prefix}${from + at}` }));
  return JSON.stringify({ manifest_version: "v1", resources });
}

/** One of 16 million addresses of this machine: each is a host of its own. */
export function loopbackAddress(number: number): string {
  return `127.${1 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`;
}

/** The id of the job that a manifest became. */
export async function submit(url: string, manifest: string): Promise<string> {
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${url}/jobs`, { method: "POST", headers, body: manifest });
  if (response.status !== 202) throw new Error(`${response.status} ${await response.text()}`);
  return ((await response.json()) as { job_id: string }).job_id;
}

/** Calls with the first of every `step` numbers below `count`, from some clients at once. */
export async function inClients(
  { count, step, clients }: { readonly count: number; readonly step: number; readonly clients: number },
  call: (from: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const client = async () => {
    for (let from = next; from < count; from = next) {
      next += step;
      await call(from);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
}

export async function switchQueue({ url }: Service, to: "pause" | "resume"): Promise<void> {
  await (await fetch(`${url}/operators/queue/${to}`, { method: "POST" })).arrayBuffer();
}

/** Tasks that the service has completed since its start. */
export async function completedTasks({ url }: Service): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^fetchbox_tasks_completed_total\{.*\} (\d+)/m.exec(text)?.[1] ?? 0);
}

/** Between two questions whether a job has ended: each costs the service a third of a millisecond. */
const ASK_EVERY_MS = 50;

/** Resolves once a job has ended; how is left to who asks. */
export async function ended(url: string, job: string): Promise<string> {
  for (;;) {
    const { status } = (await (await fetch(`${url}/operators/jobs/${job}`)).json()) as { status: string };
    if (status !== "queued" && status !== "in_progress") return status;
    await Bun.sleep(ASK_EVERY_MS);
  }
}

/** Most memory that a process has had so far, in MiB. */
export async function peakMiB(pid: number): Promise<number> {
  const status = await Bun.file(`/proc/${pid}/status`).text();
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) / 1024;
}

/** CPU that the main thread of a process has used so far: in the kernel and outside, by ticks of 10 ms. */
export async function mainThreadSeconds(pid: number): Promise<number> {
  const stat = await Bun.file(`/proc/${pid}/task/${pid}/stat`).text();
  // The name, in parentheses, may have spaces (proc(5)).
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
