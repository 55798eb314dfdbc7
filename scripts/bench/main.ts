/**
 * FetchBox beside what the runtime can do at most, in one run: `bun run bench [--rounds=3] [--works=10 KiB] [--parts=transfers,probes] [--json=FILE]
 * [--binary=PATH]`.
 * Prints a Markdown table. Ratios count; absolute figures drift with the machine.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { runFetchBox } from "./fetchbox.ts";
import { type Load, type Ran, WORKS, type Work } from "./load.ts";
import { installedPeers, type Peer } from "./peers.ts";
import { probe } from "./probes.ts";
import { type Measured, probesReport, reportOf } from "./report.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    works: { type: "string", default: "" },
    binary: { type: "string", default: "dist/fetchbox" },
    json: { type: "string" },
    parts: { type: "string", default: "transfers,probes" },
  },
});
const folder = mkdtempSync(join(tmpdir(), "fetchbox-bench-"));
const servers: Bun.Subprocess[] = [];
const CEILINGS = ["bare S3Client", "bare durable"] as const;
const PROGRAMS: readonly string[] = [...CEILINGS, "fetchbox", ...installedPeers.map(({ name }) => name)];
/** Peers get a part of the items, so that the whole stays short; their rate does not depend on it. */
const PEERS_PART = 6;

try {
  const origin = await serve("origin.ts");
  const s3 = await serve("null-s3.ts");
  const works = values.parts.includes("transfers") ? WORKS.filter(({ name }) => name.startsWith(values.works)) : [];
  const measured: Measured[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const whole of works) {
      // The order turns, so that none always runs on what another left behind.
      for (let at = 0; at < PROGRAMS.length; at++) {
        const program = PROGRAMS[(at + round) % PROGRAMS.length] ?? "fetchbox";
        if (whole.bytes > (peerOf(program)?.bytesMax ?? whole.bytes)) continue;
        const work = workOf(program, whole);
        const ran = await run(program, work, origin, s3);
        await checkArrived(s3, work);
        measured.push({ program, work: work.name, round, rate: work.count / ran.seconds, ...usageOf(ran, work) });
        process.stderr.write(`${round + 1} ${work.name}, ${program}: ${(work.count / ran.seconds).toFixed(1)}/s\n`);
      }
    }
  }
  process.stdout.write(reportOf(measured, works, PROGRAMS));
  const isProbing = values.parts.includes("probes");
  const probes = isProbing ? await probe({ binary: resolve(values.binary), origin, s3, folder, serve }) : [];
  if (isProbing) process.stdout.write(probesReport(probes));
  if (values.json !== undefined) await Bun.write(values.json, `${JSON.stringify({ measured, probes }, null, 2)}\n`);
} finally {
  for (const server of servers) server.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}

async function serve(file: string, ...args: readonly string[]): Promise<string> {
  const server = Bun.spawn([process.execPath, join(import.meta.dir, file), ...args], {
    stdout: "pipe",
    stderr: "inherit",
  });
  servers.push(server);
  for await (const chunk of server.stdout) return `http://127.0.0.1:${new TextDecoder().decode(chunk).trim()}`;
  throw new Error(`${file} did not start`);
}

function workOf(program: string, work: Work): Work {
  return peerOf(program) === undefined ? work : { ...work, count: Math.ceil(work.count / PEERS_PART) };
}

function peerOf(program: string): Peer | undefined {
  return installedPeers.find(({ name }) => name === program);
}

async function run(program: string, work: Work, origin: string, s3: string): Promise<Ran> {
  await fetch(`${s3}/reset`);
  const prefix = `${origin}/${work.bytes}/${work.delayMs}/`;
  const load: Load = { binary: resolve(values.binary), s3, prefix, count: work.count, lanes: work.lanes };
  const own = mkdtempSync(join(folder, "run-"));
  if (program === "fetchbox") return runFetchBox(load, own);
  const peer = peerOf(program);
  return peer === undefined ? runBare(program, load, own) : peer.run(load, own);
}

async function runBare(program: string, load: Load, own: string): Promise<Ran> {
  const kind = program === "bare durable" ? "durable" : "bare";
  const { s3, prefix, count, lanes } = load;
  const args = [join(import.meta.dir, "bare.ts"), kind, s3, prefix, String(count), String(lanes), own];
  const started = performance.now();
  const child = Bun.spawn([process.execPath, ...args], { stdout: "inherit", stderr: "inherit" });
  if ((await child.exited) !== 0) throw new Error(`${program} failed`);
  return { seconds: (performance.now() - started) / 1000, usage: child.resourceUsage() };
}

async function checkArrived(s3: string, { count, bytes }: Work): Promise<void> {
  const stats = (await (await fetch(`${s3}/stats`)).json()) as { objects: number; bytes: number };
  if (stats.objects !== count || stats.bytes !== count * bytes) {
    throw new Error(`of ${count} objects of ${bytes} bytes arrived ${stats.objects}, with ${stats.bytes} bytes`);
  }
}

function usageOf({ usage }: Ran, { count }: Work) {
  if (usage === undefined) throw new Error("the system does not say what a process used");
  return {
    cpuSecondsPer1000: (Number(usage.cpuTime.total) / 1e6 / count) * 1000,
    peakMiB: usage.maxRSS / 2 ** 20,
  };
}
