/**
 * FetchBox beside what the runtime can do at most, in one run: `bun run bench [--rounds=3] [--works=10 KiB]
 * [--parts=transfers,probes] [--json=FILE] [--binary=PATH] [--beside=PATH] [--programs=fetchbox]`. `--beside` measures
 * another build in turns with this one. Prints a Markdown table. Ratios count; absolute figures drift with the machine.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { makeCertificate } from "./certificate.ts";
import { runFetchBox } from "./fetchbox.ts";
import { type Load, type Program, type Ran, WORKS, type Work } from "./load.ts";
import { installedPeers } from "./peers.ts";
import { probe } from "./probes.ts";
import { type Measured, probesReport, reportOf } from "./report.ts";
import { BenchServers } from "./service.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    works: { type: "string", default: "" },
    binary: { type: "string", default: "dist/fetchbox" },
    json: { type: "string" },
    beside: { type: "string" },
    programs: { type: "string", default: "" },
    parts: { type: "string", default: "transfers,probes" },
  },
});
const folder = mkdtempSync(join(tmpdir(), "fetchbox-bench-"));
const servers = new BenchServers();
const { serve } = servers;
const other = values.beside === undefined ? undefined : resolve(values.beside);
const ALL: readonly Program[] = [
  { name: "bare S3Client", run: (load, own) => runBare("bare", load, own) },
  { name: "bare durable", run: (load, own) => runBare("durable", load, own) },
  { name: "fetchbox", run: runFetchBox },
  ...(other === undefined
    ? []
    : [{ name: "fetchbox beside", run: (load: Load, own: string) => runFetchBox({ ...load, binary: other }, own) }]),
  ...installedPeers,
];
const PROGRAMS = ALL.filter(({ name }) => name.startsWith(values.programs));

try {
  const origin = await serve("origin.ts");
  const s3 = await serve("null-s3.ts");
  const works = values.parts.includes("transfers") ? WORKS.filter(({ name }) => name.startsWith(values.works)) : [];
  const tls = works.some((work) => work.tls !== undefined) ? await serveTls() : undefined;
  const measured: Measured[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const work of works) {
      // The order turns, so that none always runs on what another left behind.
      const turn = round % PROGRAMS.length;
      for (const program of [...PROGRAMS.slice(turn), ...PROGRAMS.slice(0, turn)]) {
        if (work.bytes > (program.bytesMax ?? work.bytes)) continue;
        const from = (work.tls && tls) ?? { origin };
        measured.push({ round, ...(await measure(program, work, { ...from, s3 })) });
      }
    }
  }
  process.stdout.write(reportOf(measured, works));
  const isProbing = values.parts.includes("probes");
  const probes = isProbing ? await probe({ binary: resolve(values.binary), origin, s3, folder, serve }) : [];
  if (isProbing) process.stdout.write(probesReport(probes));
  if (values.json !== undefined) await Bun.write(values.json, `${JSON.stringify({ measured, probes }, null, 2)}\n`);
} finally {
  servers.stop();
  rmSync(folder, { recursive: true, force: true });
}

/** An origin that speaks TLS, and the certificate that it shows. */
async function serveTls(): Promise<{ origin: string; certificate: string }> {
  const certificate = makeCertificate(folder);
  const url = await serve("origin.ts", certificate, `${certificate}.key`);
  return { origin: url.replace("http:", "https:"), certificate };
}

interface Servers {
  readonly origin: string;
  readonly s3: string;
  readonly certificate?: string;
}

async function measure({ name, itemsPart = 1, run }: Program, whole: Work, { origin, s3, certificate }: Servers) {
  const work = { ...whole, count: Math.ceil(whole.count / itemsPart) };
  const { bytes, delayMs, count, lanes } = work;
  await fetch(`${s3}/reset`);
  const prefix = `${origin}/${bytes}/${delayMs}/${wayOf(work)}`;
  const load: Load = { binary: resolve(values.binary), s3, prefix, count, lanes, certificate };
  const ran = await run(load, mkdtempSync(join(folder, "run-")));
  await checkArrived(s3, work);
  const rate = count / ran.seconds;
  process.stderr.write(`${work.name}, ${name}: ${rate.toFixed(1)}/s\n`);
  return { program: name, work: work.name, rate, ...usageOf(ran, work) };
}

/** The part of the origin's path that says how it sends a body. */
function wayOf({ tls, isChunked }: Work): string {
  if (tls === "fresh") return "close/";
  return isChunked === true ? "chunked/" : "";
}

async function runBare(kind: "bare" | "durable", load: Load, own: string): Promise<Ran> {
  const { s3, prefix, count, lanes, certificate = "" } = load;
  const args = [join(import.meta.dir, "bare.ts"), kind, s3, prefix, String(count), String(lanes), own];
  const started = performance.now();
  const child = Bun.spawn([process.execPath, ...args], {
    env: { ...process.env, NODE_EXTRA_CA_CERTS: certificate },
    stdout: "inherit",
    stderr: "inherit",
  });
  if ((await child.exited) !== 0) throw new Error(`the ceiling ${kind} failed`);
  return { seconds: (performance.now() - started) / 1000, usage: child.resourceUsage() };
}

async function checkArrived(s3: string, { count, bytes }: Work): Promise<void> {
  const stats = (await (await fetch(`${s3}/stats`)).json()) as { objects: number; bytes: number };
  if (stats.objects !== count || stats.bytes !== count * bytes) {
    throw new Error(`of ${count} objects of ${bytes} bytes arrived ${stats.objects}, with ${stats.bytes} bytes`);
  }
}

function usageOf({ usage, mainThreadSeconds }: Ran, { count }: Work) {
  if (usage === undefined) throw new Error("the system does not say what a process used");
  return {
    cpuSecondsPer1000: (Number(usage.cpuTime.total) / 1e6 / count) * 1000,
    mainThreadMicros: mainThreadSeconds === undefined ? undefined : (mainThreadSeconds / count) * 1e6,
    peakMiB: usage.maxRSS / 2 ** 20,
  };
}
