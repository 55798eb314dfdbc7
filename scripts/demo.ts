/**
 * FetchBox in a minute: starts the compiled service on local storage, submits a sample manifest from an origin of our
 * own, watches it, and shows what came of it. Everything stays in ./data/demo.
 */
import { rm } from "node:fs/promises";
import { resolve } from "node:path";
import { startSampleOrigin } from "./sample-origin.ts";

interface Snapshot {
  readonly status: string;
  readonly resource_total: number;
  readonly resource_completed: number;
  readonly resource_failed: number;
  readonly bytes_stored: number;
}

interface Resource {
  readonly resource_id: string;
  readonly state: string;
  readonly attempts: number;
  readonly bytes: number | null;
  readonly storage_key: string | null;
  readonly error: { code: string; message: string } | string | null;
}

const BINARY = resolve("dist/fetchbox");
const FOLDER = resolve("data/demo");
const STEP = process.stdout.isTTY ? "\r\u001b[K" : "\n";

await rm(FOLDER, { recursive: true, force: true });
const origin = await startSampleOrigin(0);
const service = startService();
let code = 1;
try {
  const url = await addressOf(service);
  say(`service   ${url}   (Swagger UI: ${url}/swagger)`);
  const { job_id: jobId } = await post(`${url}/jobs`, origin.manifest);
  say(`job       ${jobId}`);
  const snapshot = await watch(`${url}/operators/jobs/${jobId}`);
  say(`\nresult    ${snapshot.status}: ${snapshot.resource_completed} stored, ${snapshot.resource_failed} failed\n`);
  const { resources } = await get<{ resources: Resource[] }>(`${url}/operators/jobs/${jobId}/resources`);
  for (const { resource_id, state, attempts, bytes, storage_key } of resources) {
    const tried = `${attempts} ${attempts === 1 ? "attempt " : "attempts"}`;
    say(`${resource_id.padEnd(22)} ${state.padEnd(10)} ${tried} ${String(bytes ?? "-").padStart(9)} bytes`);
    if (storage_key !== null) say(`    ${storage_key}`);
  }
  const letters = await get<object>(`${url}/operators/dlq?job_id=${jobId}`);
  say(`\ndead letters of the job (GET /operators/dlq?job_id=${jobId})\n${JSON.stringify(letters, null, 2)}`);
  code = snapshot.resource_completed === 6 && snapshot.resource_failed === 1 ? 0 : 1;
} finally {
  service.kill("SIGTERM");
  await service.exited;
  origin.stop();
}
say(`\nThe objects stay under ${FOLDER}/objects. Now run the service for yourself: ./dist/fetchbox`);
process.exit(code);

function startService() {
  return Bun.spawn([BINARY, "serve"], {
    stdout: "pipe",
    stderr: "inherit",
    env: {
      ...process.env,
      FETCHBOX_CONFIG: resolve("config/fetchbox.toml"),
      FETCHBOX__SERVER__BIND_ADDR: "127.0.0.1:0",
      FETCHBOX__QUEUE__PATH: `${FOLDER}/queue`,
      FETCHBOX__LEDGER__PATH: `${FOLDER}/ledger`,
      FETCHBOX__DLQ__PATH: `${FOLDER}/dlq`,
      FETCHBOX__STORAGE__PATH: `${FOLDER}/objects`,
      // Private addresses are closed by default; the sample origin is on one.
      FETCHBOX__EGRESS__ALLOW_PRIVATE: "127.0.0.0/8",
      FETCHBOX__LOG__FORMAT: "json",
    },
  });
}

/** Reads the service's log up to the line that says where it listens, and lets the rest run out. */
async function addressOf({ stdout }: ReturnType<typeof startService>): Promise<string> {
  const lines = stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await lines.read();
    if (done) throw new Error(`the service did not start:\n${text}`);
    text += value;
    const url = /"url":"(http:[^"]+)"/.exec(text)?.[1];
    if (url === undefined) continue;
    void drain(lines);
    return url;
  }
}

async function drain(lines: { read(): Promise<{ done: boolean }> }): Promise<void> {
  while (!(await lines.read()).done);
}

async function watch(url: string): Promise<Snapshot> {
  let shown = "";
  for (;;) {
    const snapshot = await get<Snapshot>(url);
    const done = snapshot.resource_completed + snapshot.resource_failed;
    const megabytes = (snapshot.bytes_stored / 1e6).toFixed(1);
    const line = `progress  ${snapshot.status}: ${done}/${snapshot.resource_total}, ${megabytes} MB stored`;
    if (line !== shown) process.stdout.write(STEP + line);
    shown = line;
    if (snapshot.status !== "queued" && snapshot.status !== "in_progress") return snapshot;
    await Bun.sleep(250);
  }
}

async function post(url: string, body: object): Promise<{ job_id: string }> {
  const headers = { "content-type": "application/json" };
  return answerOf(await fetch(url, { method: "POST", headers, body: JSON.stringify(body) }));
}

async function get<T>(url: string): Promise<T> {
  return answerOf(await fetch(url));
}

async function answerOf<T>(response: Response): Promise<T> {
  if (!response.ok) throw new Error(`${response.url}: ${response.status} ${await response.text()}`);
  return response.json() as Promise<T>;
}

function say(text: string): void {
  console.log(text);
}
