/**
 * The ceiling of accepting: POST of a manifest → JSON.parse → one row per resource, synchronous=FULL, commits of 2 ms.
 */
import { Database } from "bun:sqlite";
import { join } from "node:path";

interface Manifest {
  readonly resources: readonly { readonly id: string; readonly url: string }[];
}

const [folder = "."] = process.argv.slice(2);
const db = new Database(join(folder, "bare.db"), { create: true, strict: true });
db.run("PRAGMA journal_mode = WAL");
db.run("PRAGMA synchronous = FULL");
db.run("CREATE TABLE job (n INTEGER PRIMARY KEY, id TEXT, url TEXT, state INTEGER DEFAULT 0)");
const insert = db.prepare("INSERT INTO job (id, url) VALUES (?, ?)");
let waiting: { readonly manifest: Manifest; readonly done: () => void }[] = [];

function flush(): void {
  const members = waiting;
  waiting = [];
  db.transaction(() => {
    for (const { manifest } of members) for (const { id, url } of manifest.resources) insert.run(id, url);
  })();
  for (const { done } of members) done();
}

const { port } = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  async fetch(request) {
    const manifest = (await request.json()) as Manifest;
    await new Promise<void>((done) => {
      if (waiting.push({ manifest, done }) === 1) setTimeout(flush, 2);
    });
    return Response.json({ job_id: "0", status: "queued" }, { status: 202 });
  },
});
process.stdout.write(`${port}\n`);
