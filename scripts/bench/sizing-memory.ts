/** Memory and file descriptors of the service: idle, with open transfers, with a large queue, with log streams. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { loopbackAddress, manifestOf, type Service, type ServiceOptions, startService, submit } from "./service.ts";
import type { Figure, SizingContext } from "./sizing.ts";

const KIB = 1024;
const RESOURCES_PER_JOB = 1000;
const HOSTS = 100_000;
/** Bun opens at most 256 connections for `fetch`. */
const FOLLOWERS = 200;
/** Time for buffers and heaps to reach their size. */
const SETTLE_MS = 5000;
const TRANSFER_MS = 15_000;

interface Rig extends SizingContext {
  readonly origin: string;
  readonly trickle: string;
  readonly s3: string;
  readonly print: (figure: Figure) => void;
}

export async function measureTransfers(context: SizingContext, print: (figure: Figure) => void): Promise<void> {
  const rig = await prepare(context, print);
  for (const workers of [8, 128, 1024]) await idle(rig, workers);
  for (const count of [16, 128, 1000]) {
    await transfers(rig, "small bodies to S3, not answered yet", `${rig.origin}/10240/20000/`, { count });
    await transfers(rig, "64 MiB to S3 at 16 KiB/s", `${rig.trickle}/${2 ** 26}/${16 * KIB}/`, { count });
    const settings = { STORAGE__BACKEND: "local", STORAGE__PATH: join(context.folder, `objects-${count}`) };
    await transfers(rig, "64 MiB to a folder at 16 KiB/s", `${rig.trickle}/${2 ** 26}/${16 * KIB}/`, {
      count,
      settings,
    });
  }
}

/** Uploads that are slower than their downloads: their parts fill the buffers. */
export async function measureBuffers(context: SizingContext, print: (figure: Figure) => void): Promise<void> {
  const rig = await prepare(context, print);
  const s3 = await context.serve("null-s3.ts", "50000");
  for (const count of [4, 16, 64, 256]) {
    const prefix = `${rig.trickle}/${2 ** 28}/${2 ** 20}/`;
    await transfers({ ...rig, s3 }, "256 MiB at 1 MiB/s to S3 at 50 kB/s", prefix, { count });
  }
}

export async function measureQueue(context: SizingContext, print: (figure: Figure) => void): Promise<void> {
  const rig = await prepare(context, print);
  await manyHosts(rig);
  await manyPending(rig);
}

async function prepare(context: SizingContext, print: (figure: Figure) => void): Promise<Rig> {
  const [origin, trickle, s3] = await Promise.all([
    context.serve("origin.ts"),
    context.serve("trickle.ts"),
    context.serve("null-s3.ts"),
  ]);
  return { ...context, origin, trickle, s3, print };
}

async function started(rig: Rig, name: string, options: Partial<ServiceOptions>): Promise<Service> {
  const { binary, s3, folder } = rig;
  return startService({ binary, s3, folder: join(folder, name.replaceAll("/", "-")), lanes: 16, ...options });
}

async function idle(rig: Rig, workers: number): Promise<void> {
  await using service = await started(rig, `idle ${workers}`, { lanes: workers });
  await Bun.sleep(SETTLE_MS);
  rig.print({ what: `idle, ${workers} workers`, value: await usedBy(service) });
}

interface Transfers {
  readonly count: number;
  readonly settings?: Readonly<Record<string, string>>;
}

async function transfers(rig: Rig, name: string, prefix: string, { count, settings }: Transfers): Promise<void> {
  const what = `${count} transfers: ${name}`;
  await using service = await started(rig, what, { lanes: count, ...(settings && { settings }) });
  await Bun.sleep(SETTLE_MS);
  const before = await usedBy(service);
  await submit(service.url, manifestOf(prefix, 0, count));
  await Bun.sleep(TRANSFER_MS);
  rig.print({ what, value: `${before} → ${await usedBy(service)}, ${await running(service)} running` });
}

export async function measureStreams(context: SizingContext, print: (figure: Figure) => void): Promise<void> {
  const rig = await prepare(context, print);
  await using service = await started(rig, "followers", {});
  const job = await submit(service.url, manifestOf(`${rig.trickle}/${2 ** 26}/${16 * KIB}/`, 0, 8));
  await Bun.sleep(SETTLE_MS);
  const before = await usedBy(service);
  const stop = new AbortController();
  const headers = { accept: "text/event-stream" };
  const options = { headers, signal: stop.signal };
  const url = `${service.url}/operators/jobs/${job}/logs`;
  const follow = async () => {
    const { status, body } = await fetch(url, options);
    const reader = body?.getReader();
    await reader?.read();
    return { status, reader };
  };
  const streams = await Promise.all(Array.from({ length: FOLLOWERS }, follow));
  await Bun.sleep(SETTLE_MS);
  const open = streams.filter(({ status, reader }) => status === 200 && reader !== undefined).length;
  rig.print({ what: `${open} log streams`, value: `${before} → ${await usedBy(service)}` });
  stop.abort();
}

async function manyHosts(rig: Rig): Promise<void> {
  const origin = await rig.serve("origin.ts", "--all-addresses");
  const { port } = new URL(origin);
  await using service = await started(rig, "hosts", { lanes: 64 });
  await Bun.sleep(SETTLE_MS);
  const before = await usedBy(service);
  for (let from = 0; from < HOSTS; from += RESOURCES_PER_JOB) {
    const resources = Array.from({ length: RESOURCES_PER_JOB }, (_, at) => ({
      id: `i${from + at}`,
      url: `http://${loopbackAddress(from + at)}:${port}/10/0/x`,
    }));
    await submit(service.url, JSON.stringify({ manifest_version: "v1", resources }));
  }
  while ((await metric(service, /^fetchbox_tasks_completed_total(?:\{[^}]*\})? (\d+)/m)) < HOSTS)
    await Bun.sleep(SETTLE_MS);
  rig.print({ what: `${HOSTS} hosts, one download of each`, value: `${before} → ${await usedBy(service)}` });
}

async function manyPending(rig: Rig): Promise<void> {
  const service = await started(rig, "pending", {});
  await Bun.sleep(SETTLE_MS);
  const before = await usedBy(service);
  await (await fetch(`${service.url}/operators/queue/pause`, { method: "POST" })).arrayBuffer();
  for (let from = 0; from < rig.pending; from += RESOURCES_PER_JOB)
    await submit(service.url, manifestOf(`${rig.origin}/10/0/`, from, RESOURCES_PER_JOB));
  await Bun.sleep(SETTLE_MS);
  rig.print({ what: `${rig.pending} pending tasks, accepted`, value: `${before} → ${await usedBy(service)}` });
  await service.stop();
  await using again = await started(rig, "pending", {});
  await Bun.sleep(SETTLE_MS);
  rig.print({ what: `${rig.pending} pending tasks, after a restart`, value: await usedBy(again) });
  await (await fetch(`${again.url}/operators/queue/resume`, { method: "POST" })).arrayBuffer();
  await Bun.sleep(TRANSFER_MS);
  rig.print({ what: `${rig.pending} pending tasks, 16 workers busy`, value: await usedBy(again) });
}

/** For example `152 MiB (peak 170), 31 descriptors`. */
async function usedBy({ pid }: Service): Promise<string> {
  const status = await Bun.file(`/proc/${pid}/status`).text();
  const mib = (name: string) => Math.round(Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1]) / KIB);
  return `${mib("VmRSS")} MiB (peak ${mib("VmHWM")}), ${readdirSync(`/proc/${pid}/fd`).length} descriptors`;
}

function running(service: Service): Promise<number> {
  return metric(service, /^fetchbox_queue_depth\{[^}]*state="running"[^}]*\} (\d+)/m);
}

async function metric({ url }: Service, line: RegExp): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(line.exec(text)?.[1] ?? 0);
}
