/**
 * What the HTTP client costs the thread that runs it, without the service around it: `bun scripts/bench/client-cost.ts
 * [--items=20000] [--rounds=3]`. 16 lanes GET 10 KiB, in turns by our client, by `fetch`, and by our client in a worker
 * thread that hands each body over. Prints medians: CPU of the main thread and of the whole process, per item.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { makeCertificate } from "./certificate.ts";
import { type ClientWay, createFetcher } from "./client-ways.ts";
import { median } from "./report.ts";
import { mainThreadSeconds } from "./service.ts";

const { values } = parseArgs({
  options: {
    items: { type: "string", default: "20000" },
    rounds: { type: "string", default: "3" },
    /** Set for a process of its own that measures one way. */
    way: { type: "string" },
    origin: { type: "string", default: "" },
  },
});
const LANES = 16;
const WAYS: readonly ClientWay[] = ["client", "fetch", "client in a thread"];
const PLACES = ["plain", "TLS, kept", "TLS, a connection each"];

await (values.way === undefined ? compare() : measure(values.way as ClientWay, values.origin, Number(values.items)));
process.exit(0);

async function compare(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "fetchbox-client-cost-"));
  const certificate = makeCertificate(folder);
  const plain = Bun.spawn([process.execPath, join(import.meta.dir, "origin.ts")], { stdout: "pipe" });
  const tls = Bun.spawn([process.execPath, join(import.meta.dir, "origin.ts"), certificate, `${certificate}.key`], {
    stdout: "pipe",
  });
  try {
    const [plainPort, tlsPort] = await Promise.all([firstLine(plain.stdout), firstLine(tls.stdout)]);
    const prefixes = [
      `http://127.0.0.1:${plainPort}/10240/0/`,
      `https://127.0.0.1:${tlsPort}/10240/0/`,
      `https://127.0.0.1:${tlsPort}/10240/0/close/`,
    ];
    console.log(
      "| connections | way | main thread, µs an item | process, µs an item | items/s |\n|---|---|--:|--:|--:|",
    );
    for (const [at, prefix] of prefixes.entries()) {
      const items = at === 2 ? Number(values.items) / 8 : Number(values.items);
      const runs: { way: ClientWay; figures: number[] }[] = [];
      for (let round = 0; round < Number(values.rounds); round++) {
        for (const way of WAYS) runs.push({ way, figures: await inOwnProcess(way, prefix, items, certificate) });
      }
      for (const way of WAYS) {
        const own = runs.filter((run) => run.way === way).map(({ figures }) => figures);
        const cells = [0, 1, 2].map((column) => median(own.map((figures) => figures[column] ?? Number.NaN)).toFixed(0));
        console.log(`| ${PLACES[at]} | ${way} | ${cells.join(" | ")} |`);
      }
    }
  } finally {
    plain.kill();
    tls.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function inOwnProcess(way: ClientWay, origin: string, items: number, certificate: string): Promise<number[]> {
  const args = [import.meta.path, `--way=${way}`, `--origin=${origin}`, `--items=${items}`];
  const child = Bun.spawn([process.execPath, ...args], {
    env: { ...process.env, NODE_EXTRA_CA_CERTS: certificate },
    stdout: "pipe",
  });
  return (await firstLine(child.stdout)).split(" ").map(Number);
}

async function measure(way: ClientWay, prefix: string, items: number): Promise<void> {
  const fetchOne = createFetcher(way);
  await inLanes(items, (at) => fetchOne(`${prefix}w${at}`)); // the compilers have their turn
  const begunMain = await mainThreadSeconds(process.pid);
  const [begunAll, started] = [process.cpuUsage(), performance.now()];
  let bytes = 0;
  await inLanes(items, async (at) => {
    const length = await fetchOne(`${prefix}${at}`);
    bytes += length;
  });
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(begunAll);
  const mainSeconds = (await mainThreadSeconds(process.pid)) - begunMain;
  if (bytes !== items * 10_240) throw new Error(`${bytes} bytes came`);
  console.log((mainSeconds / items) * 1e6, (user + system) / items, items / seconds);
}

async function inLanes(items: number, work: (at: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async () => {
    for (let at = next++; at < items; at = next++) await work(at);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  for await (const chunk of stream) return new TextDecoder().decode(chunk).trim();
  throw new Error("a process of the measurement ended before it said anything");
}
