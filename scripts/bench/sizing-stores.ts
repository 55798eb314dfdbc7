/** Bytes of disk for each task: of the stores while it waits and after it ended, of the log, and of all writes. */
import { Database } from "bun:sqlite";
import { statSync } from "node:fs";
import { join } from "node:path";
import { ended, manifestOf, type Service, startService, submit } from "./service.ts";
import type { Figure, SizingContext } from "./sizing.ts";

const RESOURCES_PER_JOB = 1000;
const STORES = ["queue", "ledger", "dlq"] as const;
/** How far ends of jobs are moved back: further than every retention. */
const AGE_MS = 1000 * 86_400_000;
const AGED = { queue: ["jobs.finished_at"], ledger: ["jobs.completed_at"], dlq: ["dead_letters.failed_at"] };
const POLL_MS = 500;
const SHRINK_MS = 5000;

/** Bytes of a store, with the pages that are still in its log (-wal). */
interface Bytes {
  readonly file: number;
  readonly used: number;
}

type StoreBytes = Record<(typeof STORES)[number], Bytes>;

interface Kind {
  readonly name: string;
  /** What stands before an item's number in its URL. */
  readonly prefix: string;
}

export async function measureStores(context: SizingContext, print: (figure: Figure) => void): Promise<void> {
  const origin = await context.serve("origin.ts");
  const s3 = await context.serve("null-s3.ts");
  const padding = "p".repeat(500 - `${origin}/10/0/?q=12345`.length);
  const kinds: Kind[] = [
    { name: "completed, short URL", prefix: `${origin}/10/0/` },
    { name: "completed, long URL", prefix: `${origin}/10/0/?q=${padding}` },
    { name: "dead letter, short URL", prefix: `${origin}/gone/0/` },
    { name: "dead letter, long URL", prefix: `${origin}/gone/0/?q=${padding}` },
  ];
  for (const kind of kinds) await measureKind(context, kind, s3, print);
}

async function measureKind(
  { binary, folder, tasks }: SizingContext,
  { name, prefix }: Kind,
  s3: string,
  print: (figure: Figure) => void,
): Promise<void> {
  const options = { binary, s3, folder: join(folder, name), lanes: 16 };
  const service = await startService(options);
  const empty = storeBytes(options.folder);
  const each = () => {
    const now = storeBytes(options.folder);
    const of = (store: (typeof STORES)[number], what: keyof Bytes) =>
      Math.round((now[store][what] - empty[store][what]) / tasks);
    return STORES.map((store) => `${store} ${of(store, "file")} (used ${of(store, "used")})`).join(", ");
  };
  await post(service, "pause");
  const jobs: string[] = [];
  for (let from = 0; from < tasks; from += RESOURCES_PER_JOB)
    jobs.push(await submit(service.url, manifestOf(prefix, from, RESOURCES_PER_JOB)));
  const label = `${name} (${prefix.length + 5} bytes)`;
  print({ what: `${label}: bytes per task, pending`, value: each() });
  const before = { disk: await diskWrites(service.pid), log: logBytes(options.folder) };
  await post(service, "resume");
  for (const job of jobs) await ended(service.url, job);
  print({ what: `${label}: bytes per task, ended`, value: each() });
  const written = (await diskWrites(service.pid)) - before.disk;
  print({ what: `${label}: bytes of log per task`, value: perTask(logBytes(options.folder) - before.log, tasks) });
  print({ what: `${label}: bytes written per task, log included`, value: perTask(written, tasks) });
  await service.stop();
  age(options.folder);
  await using again = await startService(options);
  await untilPruned(again, tasks / RESOURCES_PER_JOB, options.folder);
  await again.stop();
  print({ what: `${label}: MiB of all tasks after retention`, value: mebibytes(storeBytes(options.folder)) });
}

function perTask(bytes: number, tasks: number): string {
  return String(Math.round(bytes / tasks));
}

function mebibytes(bytes: StoreBytes): string {
  return STORES.map((store) => `${store} ${(bytes[store].file / 2 ** 20).toFixed(1)}`).join(", ");
}

async function post({ url }: Service, verb: "pause" | "resume"): Promise<void> {
  await (await fetch(`${url}/operators/queue/${verb}`, { method: "POST" })).arrayBuffer();
}

function storeBytes(folder: string): StoreBytes {
  const bytes = (store: string): Bytes => {
    using db = new Database(join(folder, store, `${store}.db`), { readonly: true });
    const row = db
      .query<Bytes, []>(
        `SELECT page_count * page_size AS file, (page_count - freelist_count) * page_size AS used
         FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()`,
      )
      .get();
    if (row === null) throw new Error(`${store}.db has no size`);
    return row;
  };
  return { queue: bytes("queue"), ledger: bytes("ledger"), dlq: bytes("dlq") };
}

/** Bytes that a process has caused to be written to the disk (proc(5)). */
async function diskWrites(pid: number): Promise<number> {
  const io = await Bun.file(`/proc/${pid}/io`).text();
  return Number(/^write_bytes: (\d+)/m.exec(io)?.[1] ?? Number.NaN);
}

function logBytes(folder: string): number {
  return statSync(join(folder, "service.log")).size;
}

/** Moves the ends of all jobs of a stopped service to a time before every retention. */
function age(folder: string): void {
  for (const store of STORES) {
    using db = new Database(join(folder, store, `${store}.db`));
    for (const [table, column] of AGED[store].map((name) => name.split(".")))
      db.run(`UPDATE ${table} SET ${column} = ${column} - ${AGE_MS} WHERE ${column} IS NOT NULL`);
  }
}

/** Resolves once retention has removed this number of jobs, and the stores have stopped shrinking. */
async function untilPruned({ url }: Service, jobs: number, folder: string): Promise<void> {
  for (let pruned = 0; pruned < jobs; await Bun.sleep(POLL_MS)) {
    const metrics = await (await fetch(`${url}/metrics`)).text();
    const line = /^fetchbox_retention_pruned_total\{[^}]*what="ledger_jobs"[^}]*\} (\d+)/m.exec(metrics);
    pruned = Number(line?.[1] ?? 0);
  }
  for (let last = ""; last !== mebibytes(storeBytes(folder)); await Bun.sleep(SHRINK_MS))
    last = mebibytes(storeBytes(folder));
}
