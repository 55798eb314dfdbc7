/**
 * Broad lists beside narrow ones, in turns on one service: `bun scripts/bench/broad-list.ts [--binary=dist/fetchbox]
 * [--tasks=20000] [--lanes=200000] [--dead-jobs=100000] [--rounds=3] [--parts=rate,accept,dead,start]`. Prints a ratio
 * per line. `--tasks` is the size of one turn, `--lanes` the size of a backlog.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { median } from "./report.ts";
import {
  BenchServers,
  ended,
  inClients,
  loopbackAddress,
  peakMiB,
  type Service,
  startService,
  submit,
  switchQueue,
} from "./service.ts";

const FEW_HOSTS = 50;
const RESOURCES_PER_JOB = 1000;
const CLIENTS = 8;
/** Jobs of one task each: with more clients they share more commits. */
const CLIENTS_OF_SMALL_JOBS = 64;
/** Nobody listens there. */
const DEAD_PORT = 9;

const { values } = parseArgs({
  options: {
    binary: { type: "string", default: "dist/fetchbox" },
    tasks: { type: "string", default: "20000" },
    lanes: { type: "string", default: "200000" },
    "dead-jobs": { type: "string", default: "100000" },
    rounds: { type: "string", default: "3" },
    parts: { type: "string", default: "rate,accept,dead,start" },
  },
});
const [tasks, lanes, rounds] = [values.tasks, values.lanes, values.rounds].map(Number) as [number, number, number];
const deadJobs = Number(values["dead-jobs"]);
const folder = mkdtempSync(join(tmpdir(), "fetchbox-broad-"));
const servers = new BenchServers();
let number = 0;

try {
  const { port: originPort } = new URL(await servers.serve("origin.ts", "--all-addresses"));
  const s3 = await servers.serve("null-s3.ts");
  const options = { binary: resolve(values.binary), s3, lanes: 64 };
  const parts = {
    rate: () => rate({ ...options, folder: join(folder, "rate") }, originPort),
    accept: () => accept({ ...options, folder: join(folder, "accept") }, originPort),
    dead: () => dead({ ...options, folder: join(folder, "dead") }, originPort),
    start: () => start({ ...options, folder: join(folder, "start") }, originPort),
  };
  for (const [name, run] of Object.entries(parts)) if (values.parts.split(",").includes(name)) await run();
} finally {
  servers.stop();
  rmSync(folder, { recursive: true, force: true });
}

type Options = Parameters<typeof startService>[0];

async function rate(options: Options, port: string): Promise<void> {
  await using service = await startService(options);
  const run = async (hosts: number) => {
    const jobs = await post(service, port, tasks, hosts);
    for (const job of jobs) await ended(service.url, job);
  };
  const ratio = await inTurns(run, tasks);
  print(`items/s of ${tasks} tasks for as many hosts, beside ${FEW_HOSTS} hosts`, ratio, "≥ 0.85");
  print("peak RSS of that, MiB", await peakMiB(service.pid), "≤ 250");
}

async function accept(options: Options, port: string): Promise<void> {
  await using service = await startService(options);
  await switchQueue(service, "pause");
  const ratio = await inTurns(async (hosts) => void (await post(service, port, tasks, hosts)), tasks);
  print(`acceptance of ${tasks} tasks for as many hosts, beside ${FEW_HOSTS} hosts`, ratio, "≥ 0.7");
}

/** A small job beside jobs of one task each for a host that does not answer. */
async function dead(options: Options, port: string): Promise<void> {
  await using service = await startService(options);
  const small = async () => {
    const begun = performance.now();
    await ended(service.url, await submit(service.url, manifest(port, 10, FEW_HOSTS)));
    return performance.now() - begun;
  };
  await small(); // warm
  const alone = await small();
  const host = `http://${loopbackAddress(0)}:${DEAD_PORT}/`;
  // The attempts on the host would take half of the time.
  await switchQueue(service, "pause");
  const submitOne = async () => {
    const resources = [{ id: `i${number}`, url: host + number++ }];
    await submit(service.url, JSON.stringify({ manifest_version: "v1", resources }));
  };
  const took = await seconds(() => inClients({ count: deadJobs, step: 1, clients: CLIENTS_OF_SMALL_JOBS }, submitOne));
  process.stderr.write(`${deadJobs} jobs in ${took.toFixed(0)} s\n`);
  await switchQueue(service, "resume");
  const words = `a job of 10 tasks beside ${deadJobs} jobs for a dead host, ms (alone ${alone.toFixed(0)})`;
  print(words, await small(), "");
}

async function start(options: Options, port: string): Promise<void> {
  const filled = await startService(options);
  await switchQueue(filled, "pause");
  await post(filled, port, lanes, lanes);
  await filled.stop("SIGKILL");
  const times: number[] = [];
  const emptyTimes: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const empty = await startService({ ...options, folder: `${options.folder}-empty` });
    emptyTimes.push(empty.startMs);
    await empty.stop("SIGKILL");
    const again = await startService(options);
    times.push(again.startMs);
    if (round === rounds - 1) await work(again);
    await again.stop("SIGKILL");
  }
  print(`start with ${lanes} lanes pending, beside an empty start`, median(times) / median(emptyTimes), "≤ 1.5");
}

/** Lets it work for a while. */
async function work(service: Service): Promise<void> {
  await switchQueue(service, "resume");
  await Bun.sleep(20_000);
  print(`peak RSS with ${lanes} lanes pending, MiB`, await peakMiB(service.pid), "≤ 250");
}

/** The ratio of the rates with many hosts and with few: the median of turns, of which the first one does not count. */
async function inTurns(run: (hosts: number) => Promise<void>, many: number): Promise<number> {
  const ratios: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const [few, broad] = [await seconds(() => run(FEW_HOSTS)), await seconds(() => run(many))];
    process.stderr.write(`few hosts ${few.toFixed(1)} s, many ${broad.toFixed(1)} s\n`);
    if (round > 0) ratios.push(few / broad);
  }
  return median(ratios);
}

async function seconds(run: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await run();
  return (performance.now() - begun) / 1000;
}

/** Posts tasks for a number of hosts that no earlier call has used. Returns the jobs. */
async function post(service: Service, port: string, count: number, hosts: number): Promise<string[]> {
  const jobs: string[] = [];
  await inClients({ count, step: RESOURCES_PER_JOB, clients: CLIENTS }, async () => {
    jobs.push(await submit(service.url, manifest(port, RESOURCES_PER_JOB, hosts)));
  });
  return jobs;
}

function manifest(port: string, count: number, hosts: number): string {
  const resources = Array.from({ length: count }, () => {
    const at = number++;
    const host = loopbackAddress(hosts === FEW_HOSTS ? at % FEW_HOSTS : FEW_HOSTS + at);
    return { id: `i${at}`, url: `http://${host}:${port}/10240/0/${at}` };
  });
  return JSON.stringify({ manifest_version: "v1", resources });
}

function print(what: string, value: number, wanted: string): void {
  process.stdout.write(`${what}: ${value.toFixed(2)}${wanted === "" ? "" : ` (wanted ${wanted})`}\n`);
}
