/**
 * The reads of the console with a large backlog beside those of an empty service, and the rate of transfers while ten
 * consoles are open beside the rate without them, in turns: `bun scripts/bench/console.ts [--binary=dist/fetchbox]
 * [--tasks=1000000] [--letters=100000] [--hosts=10000] [--rounds=5]`. Prints a ratio per line, and the size of the page
 * in a headless Chromium.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { openPage } from "../../test/support/browser.ts";
import { median } from "./report.ts";
import {
  BenchServers,
  completedTasks,
  ended,
  inClients,
  loopbackAddress,
  manifestOf,
  type Service,
  startService,
  submit,
  switchQueue,
} from "./service.ts";

const RESOURCES_PER_JOB = 1000;
const CLIENTS = 8;
const CONSOLES = 10;
const OVERVIEW_EVERY_MS = 2000;
const LIST_EVERY_MS = 5000;
const TURN_MS = 6000;
const READS = 100;
/** The pages with lists. */
const PAGES = ["", "jobs", "downloads", "hosts", "dead-letters", "operations"];
/** The requests of the pages. */
const PATHS = [
  "/operators/overview",
  "/operators/rates?window=1h",
  "/operators/downloads?limit=50",
  "/operators/hosts?limit=50",
  "/operators/jobs?limit=50",
  "/operators/jobs/counts",
  "/operators/dlq?limit=50",
  "/operators/dlq/analysis?by=code",
];

const { values } = parseArgs({
  options: {
    binary: { type: "string", default: "dist/fetchbox" },
    tasks: { type: "string", default: "1000000" },
    letters: { type: "string", default: "100000" },
    hosts: { type: "string", default: "10000" },
    rounds: { type: "string", default: "5" },
  },
});
const hosts = Number(values.hosts);
const folder = mkdtempSync(join(tmpdir(), "fetchbox-console-"));
const servers = new BenchServers();
try {
  const { port } = new URL(await servers.serve("origin.ts", "--all-addresses"));
  const s3 = await servers.serve("null-s3.ts");
  const options = { binary: resolve(values.binary), s3, lanes: 16 };
  const empty = await emptyReads({ ...options, folder: join(folder, "empty") });
  await using filled = await startService({ ...options, folder: join(folder, "filled") });
  await fill(filled, port);
  const full = await readTimes(filled);
  for (const path of PATHS) {
    const [ms = 0, few = 0] = [full.get(path), empty.get(path)];
    console.log(`${path}: ${ms.toFixed(2)} ms, empty ${few.toFixed(2)} ms: ${(ms / few).toFixed(1)} (wanted < 10)`);
  }
  const { rows, bytes } = await pageSize(filled);
  console.log(`most rows of a page: ${rows} (wanted ≤ 200); its memory: ${(bytes / 1e6).toFixed(1)} MB (wanted < 60)`);
  const ratio = await withConsoles(filled, Number(values.rounds));
  console.log(`rate with ${CONSOLES} consoles, beside none: ${ratio.toFixed(3)} (wanted ≥ 0.97)`);
} finally {
  servers.stop();
  rmSync(folder, { recursive: true, force: true });
}

async function emptyReads(options: Parameters<typeof startService>[0]): Promise<Map<string, number>> {
  await using service = await startService(options);
  return await readTimes(service);
}

/** Dead letters first, then a backlog for many hosts, which waits. */
async function fill(service: Service, port: string): Promise<void> {
  const gone = await post(service, Number(values.letters), () => `http://127.0.0.1:${port}/gone/`);
  for (const job of gone) await ended(service.url, job);
  await switchQueue(service, "pause");
  await post(service, Number(values.tasks), (at) => `http://${loopbackAddress(at % hosts)}:${port}/10240/0/`);
}

/** Each job has one host, so that jobs and hosts are many. */
async function post(service: Service, tasks: number, prefixOf: (job: number) => string): Promise<string[]> {
  const jobs: string[] = [];
  const size = Math.min(RESOURCES_PER_JOB, Math.max(1, Math.floor(tasks / hosts)));
  await inClients({ count: tasks, step: size, clients: CLIENTS }, async (from) => {
    jobs.push(await submit(service.url, manifestOf(prefixOf(from / size), from, size)));
  });
  return jobs;
}

/** The median time of each read, one after the other. */
async function readTimes({ url }: Service): Promise<Map<string, number>> {
  const times = new Map<string, number>();
  for (const path of PATHS) {
    const each: number[] = [];
    for (let at = 0; at < READS; at++) {
      const begun = performance.now();
      await (await fetch(url + path)).arrayBuffer();
      each.push(performance.now() - begun);
    }
    times.set(path, median(each));
  }
  return times;
}

/** The most rows, and the most bytes of its scripts' heap, of a page that shows one list after the other. */
async function pageSize({ url }: Service): Promise<{ rows: number; bytes: number }> {
  await using page = await openPage(`${url}/console`);
  await page.until("the console is there", `document.querySelector("header nav") ? true : null`);
  const most = { rows: 0, bytes: 0 };
  for (const path of PAGES) {
    await page.evaluate(
      `history.pushState(null, "", "/console/${path}"); dispatchEvent(new PopStateEvent("popstate"))`,
    );
    for (let polls = 0; polls < 2; polls++) {
      await Bun.sleep(LIST_EVERY_MS);
      const rows = await page.evaluate<number>(`document.querySelectorAll("tbody tr").length`);
      const bytes = await page.evaluate<number>("performance.memory.usedJSHeapSize");
      most.rows = Math.max(most.rows, rows);
      most.bytes = Math.max(most.bytes, bytes);
    }
  }
  return most;
}

/** The median ratio of the rates in turns with and without open consoles; the first turns do not count. */
async function withConsoles(service: Service, rounds: number): Promise<number> {
  await switchQueue(service, "resume");
  const ratios: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const alone = await rate(service);
    const closing = new AbortController();
    const consoles = Array.from({ length: CONSOLES }, () => poll(service, closing.signal));
    const open = await rate(service);
    closing.abort();
    await Promise.all(consoles);
    if (round > 0) ratios.push(open / alone);
  }
  return median(ratios);
}

/** What an open page does. */
async function poll({ url }: Service, closing: AbortSignal): Promise<void> {
  for (let at = 0; !closing.aborted; at += OVERVIEW_EVERY_MS) {
    const paths = at % LIST_EVERY_MS < OVERVIEW_EVERY_MS ? PATHS.slice(0, 4) : PATHS.slice(0, 1);
    for (const path of paths) await (await fetch(url + path)).arrayBuffer();
    await Bun.sleep(OVERVIEW_EVERY_MS);
  }
}

async function rate(service: Service): Promise<number> {
  const before = await completedTasks(service);
  const begun = performance.now();
  await Bun.sleep(TURN_MS);
  return ((await completedTasks(service)) - before) / (performance.now() - begun);
}
