import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The state of the process at one moment of a run. */
export interface Sample {
  /** Seconds since the first sample. */
  readonly at: number;
  readonly rss_mib: number;
  readonly descriptors: number;
  /** The logs of the three stores together. */
  readonly wal_mib: number;
  /** Mean delay of the event loop since the sample before. */
  readonly loop_lag_ms: number;
}

interface SampledProcess {
  readonly pid: number;
  readonly url: string;
  /** The folder of its stores. */
  readonly stores: string;
  readonly file: string;
  readonly everyMs: number;
}

/** Samples a process until disposal, which writes the samples. */
export function sampleProcess(process: SampledProcess): Disposable {
  const samples: Sample[] = [];
  const startedAt = performance.now();
  let lag = { sum: 0, count: 0 };
  const sample = async () => {
    const next = await loopLag(process.url);
    const count = next.count - lag.count;
    const loop_lag_ms = count === 0 ? 0 : ((next.sum - lag.sum) / count) * 1000;
    lag = next;
    const [rss_mib, descriptors] = [rssMib(process.pid), readdirSync(`/proc/${process.pid}/fd`).length];
    const at = Math.round((performance.now() - startedAt) / 1000);
    samples.push({ at, rss_mib, descriptors, wal_mib: walMib(process.stores), loop_lag_ms });
  };
  const timer = setInterval(() => void sample().catch(() => {}), process.everyMs);
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      writeFileSync(process.file, `${JSON.stringify(samples)}\n`);
    },
  };
}

function rssMib(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

function walMib(stores: string): number {
  const bytes = ["queue", "ledger", "dlq"].map(
    (name) => statSync(join(stores, name, `${name}.db-wal`), { throwIfNoEntry: false })?.size ?? 0,
  );
  return bytes.reduce((sum, size) => sum + size, 0) / 2 ** 20;
}

async function loopLag(url: string): Promise<{ sum: number; count: number }> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const value = (suffix: string) =>
    Number(new RegExp(`^fetchbox_event_loop_lag_seconds_${suffix} (\\S+)$`, "m").exec(text)?.[1] ?? 0);
  return { sum: value("sum"), count: value("count") };
}
