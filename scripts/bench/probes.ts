/**
 * Measures that are no transfers: accepting, answering, a large backlog, slow storage, starting. Each is a ratio in one
 * run.
 */
import { join } from "node:path";
import { longestGap } from "./longest-gap.ts";
import {
  completedTasks,
  ended,
  freePort,
  inClients,
  manifestOf,
  peakMiB,
  ready,
  type Service,
  startService,
  submit,
  switchQueue,
} from "./service.ts";

export interface Probe {
  readonly what: string;
  readonly ours: string;
  readonly against: string;
  readonly ratio: string;
  readonly wanted: string;
}

export interface ProbeContext {
  readonly binary: string;
  readonly origin: string;
  readonly s3: string;
  /** For stores and binaries; it goes with the run. */
  readonly folder: string;
  /** Starts a server of this folder, and says where it answers. */
  readonly serve: (file: string, ...args: readonly string[]) => Promise<string>;
}

const RESOURCES_PER_JOB = 1000;
const CLIENTS = 8;
const TASKS = 1_000_000;
const LETTERS = 100_000;
const TURNS = 5;
const TURN_MS = 1500;

export async function probe(context: ProbeContext): Promise<Probe[]> {
  const probes: Probe[] = [];
  for (const measure of [
    accepting,
    answeringUnderLoad,
    refusedObjects,
    starting,
    largeBacklog,
    longestGap,
    slowStorage,
  ]) {
    for (const each of [await measure(context)].flat()) {
      process.stderr.write(`${each.what}: ${each.ours} (${each.ratio})\n`);
      probes.push(each);
    }
  }
  return probes;
}

async function accepting({ binary, s3, folder, serve, origin }: ProbeContext): Promise<Probe> {
  const jobs = 400;
  const manifests = Array.from({ length: jobs }, (_, at) =>
    manifestOf(`${origin}/1/0/`, at * RESOURCES_PER_JOB, RESOURCES_PER_JOB),
  );
  const rate = async (url: string) => (jobs * RESOURCES_PER_JOB) / (await postAll(url, manifests));
  const bare = await rate(await serve("bare-accept.ts", folder));
  await using service = await paused({ binary, s3, folder: join(folder, "accept"), lanes: 16 });
  const own = await rate(service.url);
  return {
    what: `accept: ${CLIENTS} clients, manifests of ${RESOURCES_PER_JOB}`,
    ours: `${Math.round(own)} tasks/s`,
    against: `bare insert behind Bun.serve ${Math.round(bare)} tasks/s`,
    ratio: (own / bare).toFixed(2),
    wanted: "100,000 tasks/s",
  };
}

async function answeringUnderLoad({ binary, s3, folder, origin }: ProbeContext): Promise<Probe> {
  await using service = await startService({ binary, s3, folder: join(folder, "answer"), lanes: 64 });
  const ask = (at: number) => () => submit(service.url, manifestOf(`${origin}/10240/50/`, at * 10, 10));
  await timesOf(50, ask); // warm
  const idle = percentile(await timesOf(100, ask, 20), 0.5);
  for (let at = 0; at < 10; at++) {
    await submit(service.url, manifestOf(`${origin}/10240/50/`, at * RESOURCES_PER_JOB, RESOURCES_PER_JOB));
  }
  const busy = percentile(await timesOf(300, ask, 10), 0.99);
  return {
    what: "POST of 10 resources, 64 downloads under way: p99",
    ours: `${busy.toFixed(2)} ms`,
    against: `idle median ${idle.toFixed(2)} ms`,
    ratio: (busy / idle).toFixed(1),
    wanted: "< 5",
  };
}

async function refusedObjects({ binary, s3, folder, origin }: ProbeContext): Promise<Probe> {
  await using service = await startService({ binary, s3, folder: join(folder, "refused"), lanes: 16 });
  const [good, refused] = [500, 50];
  const prefix = `${origin}/10240/0/`;
  const timeOf = async (turn: number, isMixed: boolean) => {
    const from = (2 * turn + Number(isMixed)) * good;
    if (isMixed) await submit(service.url, manifestOf(prefix, from, refused, "refused-"));
    const begun = performance.now();
    await ended(service.url, await submit(service.url, manifestOf(prefix, from, good)));
    return performance.now() - begun;
  };
  const pairs: [number, number][] = [];
  for (let turn = 0; turn <= TURNS; turn++) pairs.push([await timeOf(turn, false), await timeOf(turn, true)]);
  pairs.shift(); // warm
  const median = (of: (pair: [number, number]) => number) => percentile(pairs.map(of), 0.5);
  return {
    what: `${good} objects beside ${refused} that the storage refuses`,
    ours: `${Math.round(median(([, mixed]) => mixed))} ms`,
    against: `without them ${Math.round(median(([alone]) => alone))} ms`,
    ratio: median(([alone, mixed]) => mixed / alone).toFixed(2),
    wanted: "< 1.2",
  };
}

async function largeBacklog({ binary, s3, folder, origin }: ProbeContext): Promise<Probe[]> {
  const small = { binary, s3, folder: join(folder, "small"), lanes: 16 };
  const large = { ...small, folder: join(folder, "large") };
  await using fresh = await startService(small);
  const emptyReads = await readTimes(fresh);
  await switchQueue(fresh, "pause");
  await post(fresh, `${origin}/10240/0/`, 60_000);
  await fresh.stop("SIGKILL");

  const filled = await startService(large);
  const jobs = await post(filled, `${origin}/gone/0/`, LETTERS);
  for (const job of jobs) await ended(filled.url, job);
  await switchQueue(filled, "pause");
  await post(filled, `${origin}/10240/0/`, TASKS);
  const fullReads = await readTimes(filled, jobs[0]);
  await filled.stop("SIGKILL");
  const emptyStart = await startService({ ...small, folder: join(folder, "empty") });
  await emptyStart.stop("SIGKILL");

  await using again = await startService(large);
  await using few = await startService(small);
  const { rates, ratio } = await ratesInTurns(few, again);
  return [
    {
      what: "throughput with 1,000,000 tasks pending",
      ours: `${Math.round(rates[1])}/s`,
      against: `with 60,000 ${Math.round(rates[0])}/s`,
      ratio: ratio.toFixed(2),
      wanted: "≥ 0.9",
    },
    {
      what: "peak RSS of that",
      ours: `${Math.round(await peakMiB(again.pid))} MiB`,
      against: "",
      ratio: "",
      wanted: "< 300 MiB",
    },
    {
      what: "start to ready with that, after kill -9",
      ours: `${Math.round(again.startMs)} ms`,
      against: `an empty start ${Math.round(emptyStart.startMs)} ms`,
      ratio: (again.startMs / emptyStart.startMs).toFixed(1),
      wanted: "< 3",
    },
    ...[...fullReads].map(([what, ms]): Probe => {
      const empty = emptyReads.get(what) ?? Number.NaN;
      return {
        what: `${what}, 1,000,000 tasks and 100,000 dead letters: p99`,
        ours: `${ms.toFixed(2)} ms`,
        against: `empty store ${empty.toFixed(2)} ms`,
        ratio: (ms / empty).toFixed(1),
        wanted: "< 10",
      };
    }),
  ];
}

async function slowStorage({ binary, folder, serve, origin }: ProbeContext): Promise<Probe> {
  const files = 16;
  const s3 = await serve("null-s3.ts", String(4_000_000));
  await using service = await startService({ binary, s3, folder: join(folder, "slow"), lanes: files });
  await submit(service.url, manifestOf(`${origin}/${2 ** 30}/0/`, 0, files));
  await Bun.sleep(20_000);
  const peak = await peakMiB(service.pid);
  return {
    what: "16 files of 1 GiB at once, storage takes 4 MB/s each: peak RSS after 20 s",
    ours: `${Math.round(peak)} MiB`,
    against: "",
    ratio: "",
    wanted: "< 200 MiB",
  };
}

async function starting({ binary, s3, folder }: ProbeContext): Promise<Probe> {
  const source = join(import.meta.dir, "minimal-server.ts");
  const minimal = join(folder, "minimal");
  const build = Bun.spawnSync([
    process.execPath,
    join(import.meta.dir, "../build.ts"),
    `--entry=${source}`,
    `--outfile=${minimal}`,
  ]);
  if (build.exitCode !== 0) throw new Error(build.stderr.toString());
  const bare: number[] = [];
  const own: number[] = [];
  for (let round = 0; round < 7; round++) {
    const port = await freePort();
    const begun = performance.now();
    const child = Bun.spawn([minimal], { env: { ...process.env, PORT: String(port) } });
    await ready(`http://127.0.0.1:${port}/health/ready`, child);
    bare.push(performance.now() - begun);
    child.kill("SIGKILL");
    const service = await startService({ binary, s3, folder: join(folder, "start"), lanes: 16 });
    own.push(service.startMs);
    await service.stop("SIGKILL");
  }
  const [ours, theirs] = [percentile(own, 0.5), percentile(bare, 0.5)];
  return {
    what: "start to the first 200 of /health/ready",
    ours: `${Math.round(ours)} ms`,
    against: `minimal Elysia, same flags ${Math.round(theirs)} ms`,
    ratio: (ours / theirs).toFixed(1),
    wanted: "< 2",
  };
}

async function paused(options: Parameters<typeof startService>[0]): Promise<Service> {
  const service = await startService(options);
  await switchQueue(service, "pause");
  return service;
}

/** So many tasks, in jobs of a thousand. */
async function post(service: Service, prefix: string, tasks: number): Promise<string[]> {
  const jobs: string[] = [];
  await inClients({ count: tasks, step: RESOURCES_PER_JOB, clients: CLIENTS }, async (from) => {
    jobs.push(await submit(service.url, manifestOf(prefix, from, Math.min(RESOURCES_PER_JOB, tasks - from))));
  });
  return jobs;
}

/** Seconds until all are accepted. */
async function postAll(url: string, manifests: readonly string[]): Promise<number> {
  const begun = performance.now();
  await inClients({ count: manifests.length, step: 1, clients: CLIENTS }, async (at) => {
    await submit(url, manifests[at] ?? "");
  });
  return (performance.now() - begun) / 1000;
}

/** How many tasks each of two services completes a second: the machine drifts, so they take turns. Medians. */
async function ratesInTurns(one: Service, other: Service): Promise<{ rates: [number, number]; ratio: number }> {
  const pairs: [number, number][] = [];
  for (let round = 0; round <= TURNS; round++) pairs.push([await rateOfTurn(one), await rateOfTurn(other)]);
  pairs.shift(); // warm
  const median = (of: (pair: [number, number]) => number) => percentile(pairs.map(of), 0.5);
  return { rates: [median(([a]) => a), median(([, b]) => b)], ratio: median(([a, b]) => b / a) };
}

/** It works for `TURN_MS`, after a moment to get going, and pauses again. */
async function rateOfTurn(service: Service): Promise<number> {
  await switchQueue(service, "resume");
  await Bun.sleep(200);
  const before = await completedTasks(service);
  const begun = performance.now();
  await Bun.sleep(TURN_MS);
  const rate = ((await completedTasks(service)) - before) / ((performance.now() - begun) / 1000);
  await switchQueue(service, "pause");
  return rate;
}

/** The 99th percentile of what an operator looks at, in milliseconds. */
async function readTimes({ url }: Service, job?: string): Promise<Map<string, number>> {
  const paths = {
    snapshot: `/operators/jobs/${job ?? (await submit(url, manifestOf("http://127.0.0.1:1/", 0, 1)))}`,
    "list of jobs": "/operators/jobs",
    "list of dead letters": "/operators/dlq",
    "analysis of dead letters": "/operators/dlq/analysis?by=host",
  };
  const times = new Map<string, number>();
  for (const [what, path] of Object.entries(paths)) {
    const ask = () => async () => void (await (await fetch(url + path)).arrayBuffer());
    await timesOf(50, ask);
    times.set(what, percentile(await timesOf(300, ask), 0.99));
  }
  return times;
}

/** How long each of some calls took, one after the other, with a pause between them. */
async function timesOf(count: number, call: (at: number) => () => Promise<unknown>, pauseMs = 0): Promise<number[]> {
  const times: number[] = [];
  for (let at = 0; at < count; at++) {
    const ask = call(at);
    const begun = performance.now();
    await ask();
    times.push(performance.now() - begun);
    if (pauseMs > 0) await Bun.sleep(pauseMs);
  }
  return times;
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
