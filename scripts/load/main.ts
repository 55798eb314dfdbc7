/**
 * The load tests, on this machine alone: `bun scripts/load/main.ts [--scale=1] [--k6] [--binary=dist/fetchbox]
 * [--samples=FILE.json] SCENARIO…`. Each scenario of `load/` gets a new service, an origin and an S3 sink that drops
 * the bodies. `--k6` runs the scripts with k6 instead of the runner here. `--samples` writes the process's memory,
 * descriptors, WAL and loop lag; `scripts/load/plot.ts` draws them. Exits with 1 if a scenario fails.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type Service, startService } from "../bench/service.ts";
import { sampleProcess } from "./samples.ts";

/** Settings that a scenario needs. */
const SETTINGS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  spike: { QUEUE__MAX_PENDING_TASKS: 3000, QUEUE__WORKERS: 64, DOWNLOAD__HOST__MAX_CONCURRENCY: 64 },
  soak: { QUEUE__RETRY_BACKOFF_MS: 1000 },
};
const WORKERS = 16;
const SAMPLE_EVERY_MS = 5000;

const { values, positionals } = parseArgs({
  options: {
    scale: { type: "string", default: "1" },
    k6: { type: "boolean", default: false },
    binary: { type: "string", default: "dist/fetchbox" },
    samples: { type: "string" },
  },
  allowPositionals: true,
});
const folder = mkdtempSync(join(tmpdir(), "fetchbox-load-"));
const helpers: Bun.Subprocess[] = [];
let failed = 0;
try {
  const origin = `http://127.0.0.1:${await helper("scripts/load/origin.ts")}`;
  const s3 = `http://127.0.0.1:${await helper("scripts/bench/null-s3.ts")}`;
  for (const name of positionals) {
    console.log(`== ${name}`);
    if (!(await passes(name, origin, s3))) failed++;
  }
} finally {
  for (const child of helpers) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}
console.log(`${positionals.length - failed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);

async function passes(name: string, origin: string, s3: string): Promise<boolean> {
  const settings = SETTINGS[name] ?? {};
  const binary = resolve(values.binary);
  await using service = await startService({ binary, s3, folder: join(folder, name), lanes: WORKERS, settings });
  using _samples = sampling(service, join(folder, name));
  const env = { FETCHBOX_URL: service.url, ORIGIN_URL: origin, SCALE: values.scale };
  const pairs = Object.entries(env).flatMap(([variable, value]) => ["-e", `${variable}=${value}`]);
  const runner = values.k6 ? ["k6", "run", "--no-usage-report"] : [process.execPath, "scripts/load/k6.ts"];
  const child = Bun.spawn([...runner, ...pairs, `load/${name}.ts`], { stdout: "inherit", stderr: "inherit" });
  return (await child.exited) === 0;
}

function sampling(service: Service, stores: string): Disposable {
  if (values.samples === undefined) return { [Symbol.dispose]: () => {} };
  return sampleProcess({ ...service, stores, file: resolve(values.samples), everyMs: SAMPLE_EVERY_MS });
}

/** Starts a program that prints its port. */
async function helper(file: string): Promise<string> {
  // The origin's bodies that are cut short would fill the output with errors.
  const child = Bun.spawn([process.execPath, file], { stdout: "pipe", stderr: "ignore" });
  helpers.push(child);
  for await (const chunk of child.stdout) return new TextDecoder().decode(chunk).trim();
  throw new Error(`${file} ended before it listened`);
}
